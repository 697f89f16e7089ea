"""PURE: whether a request is held while no replica is up, and the error message if not."""

from datetime import timedelta
from typing import assert_never

from msgspec import Struct

from workers.decision.opening import opening
from workers.deployment import condition
from workers.deployment.condition import condition_of
from workers.deployment.state import Deployment


class Outlook(Struct, frozen=True, kw_only=True):
    """Whether a request to a deployment can be answered now or soon."""

    ready: bool
    """Whether a replica is up, so that HAProxy should retry."""
    coming: bool
    """Whether a replica is starting, or will start because of this request; the request is then held."""
    sentence: str
    """Error message for the client if the request is not answered."""
    retry_after: timedelta = timedelta(seconds=10)


def outlook(state: Deployment | None, *, serving: bool) -> Outlook:
    """The outlook by the last known state, None if it ended; `serving`: whether HAProxy has a replica that is up."""
    if state is None:
        return ENDED
    name = state.name
    match condition_of(state):
        case condition.Ending() | condition.Ended() | condition.Failed():
            return ENDED
        case _ if serving:
            return Outlook(ready=True, coming=True, sentence=f"The replicas of {name} did not answer. Try again.")
        case condition.ScaledToZero() if (opens := opening(state)) and not state.ready:
            again = f"The person who launched it or an admin can start it in Slack with `/mixtral scale {name} 1`."
            return _no(f"{name} is paused, because its hours are over. It opens {opens}. {again}")
        case condition.ScaledToZero() as zero if not state.ready:
            return _scaled_to_zero(name, wakes=zero.wakes)
        case condition.Ready() | condition.Scaling() | condition.Degraded() | condition.ScaledToZero():
            # A replica has just ended, or its route is being opened.
            return _yes(f"No replica of {name} answers at the moment. Try again in a moment.")
        case condition.NotReady():
            return _yes(
                f"The replica of {name} does not answer. If it does not recover, it is replaced. Try again soon."
            )
        case condition.Abandoned():
            return _no(
                f"{name} has no replica: they failed too often. Its card in Slack shows why, and how to try again."
            )
        case condition.NoCapacity():
            return _no(f"{name} has no replica, and no machine is available for one. See its card in Slack.")
        case condition.Planning() | condition.Looking() | condition.Starting():
            return _yes(f"A replica of {name} is starting. Try again in a moment.")
        case _ as never:
            assert_never(never)


def _scaled_to_zero(name: str, *, wakes: bool) -> Outlook:
    if wakes:
        return _yes(f"{name} is scaled to zero; this request starts a replica. Try again in a moment.")
    by_hand = f"The person who launched it or an admin can start it in Slack with `/mixtral scale {name} 1`."
    return _no(f"{name} is scaled to zero. {by_hand}", retry_after=timedelta(minutes=1))


def _yes(sentence: str) -> Outlook:
    return Outlook(ready=False, coming=True, sentence=sentence)


def _no(sentence: str, *, retry_after: timedelta = timedelta(minutes=5)) -> Outlook:
    return Outlook(ready=False, coming=False, sentence=sentence, retry_after=retry_after)


ENDED = _no("This deployment has ended.")
