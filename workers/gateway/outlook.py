"""PURE: what a request can hope for while no replica is up."""

from datetime import timedelta
from typing import assert_never

from msgspec import Struct

from workers.deployment import condition
from workers.deployment.condition import condition_of
from workers.deployment.state import Deployment


class Outlook(Struct, frozen=True, kw_only=True):
    """What a request to a deployment can hope for."""

    ready: bool
    """A replica is up: HAProxy is to try again."""
    coming: bool
    """One is on its way, or will be since somebody asks: worth waiting for."""
    sentence: str
    """For the client, where it is not answered."""
    retry_after: timedelta = timedelta(seconds=10)


def outlook(state: Deployment | None, *, serving: bool) -> Outlook:
    """By the newest state that is known, None where it has ended; `serving`: HAProxy has a replica of it that is up."""
    if state is None:
        return ENDED
    name = state.name
    match condition_of(state):
        case condition.Ending() | condition.Ended() | condition.Failed():
            return ENDED
        case _ if serving:
            return Outlook(ready=True, coming=True, sentence=f"The replicas of {name} did not answer. Try again.")
        case condition.ScaledToZero() as asleep if not state.ready:
            return _asleep(name, wakes=asleep.wakes)
        case condition.Ready() | condition.Scaling() | condition.Degraded() | condition.ScaledToZero():
            # One died just now, or its route is just being opened.
            return _yes(f"No replica of {name} answers at the moment. Try again in a moment.")
        case condition.NotReady():
            return _yes(
                f"The replica of {name} does not answer. If it does not recover, it is replaced. Try again soon."
            )
        case condition.Abandoned():
            return _no(
                f"{name} has no replica: they failed too often. Its card in Slack says why, and how to try again."
            )
        case condition.NoCapacity():
            return _no(f"{name} has no replica, and no machine is available for one. See its card in Slack.")
        case condition.Planning() | condition.Looking() | condition.Starting():
            return _yes(f"A replica of {name} is starting. Try again in a moment.")
        case _ as never:
            assert_never(never)


def _asleep(name: str, *, wakes: bool) -> Outlook:
    if wakes:
        return _yes(f"{name} is scaled to zero; this request starts a replica. Try again in a moment.")
    by_hand = f"Whoever may scale it brings it back in Slack: /mixtral scale {name} 1."
    return _no(f"{name} is scaled to zero. {by_hand}", retry_after=timedelta(minutes=1))


def _yes(sentence: str) -> Outlook:
    return Outlook(ready=False, coming=True, sentence=sentence)


def _no(sentence: str, *, retry_after: timedelta = timedelta(minutes=5)) -> Outlook:
    return Outlook(ready=False, coming=False, sentence=sentence, retry_after=retry_after)


ENDED = _no("This deployment has ended.")
