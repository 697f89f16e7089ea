"""PURE: what a request can hope for while no replica is up."""

from datetime import timedelta

from msgspec import Struct

from workers.deployment.attempt import Phase
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
    if state is None or state.ended or state.stopped_by is not None:
        return _no("This deployment has ended.", retry_after=timedelta(minutes=5))
    name = state.name
    if serving:
        return Outlook(ready=True, coming=True, sentence=f"The replicas of {name} did not answer. Try again.")
    if any(a.phase is Phase.READY for a in state.attempts):  # one died just now, or its route is just being opened
        return _yes(f"No replica of {name} answers at the moment. Try again in a moment.")
    if any(a.phase is Phase.NOT_READY for a in state.attempts):
        return _yes(f"The replica of {name} does not answer. If it does not recover, it is replaced. Try again soon.")
    if state.wanted == 0 and state.recipe.service.replica_policy.min_replicas > 0:
        return _no(
            f"{name} is scaled to zero. Whoever may scale it brings it back in Slack: /mixtral scale {name} 1.",
            retry_after=timedelta(minutes=1),
        )
    if state.wanted == 0:
        return _yes(f"{name} is scaled to zero; this request starts a replica. Try again in a moment.")
    if state.abandoned is not None and not state.live:
        return _no(
            f"{name} has no replica: they failed too often. Its card in Slack says why, and how to try again.",
            retry_after=timedelta(minutes=5),
        )
    if state.exhausted is not None and not state.live:
        return _no(
            f"{name} has no replica, and no machine is available for one. See its card in Slack.",
            retry_after=timedelta(minutes=5),
        )
    return _yes(f"A replica of {name} is starting. Try again in a moment.")


def _yes(sentence: str) -> Outlook:
    return Outlook(ready=False, coming=True, sentence=sentence)


def _no(sentence: str, *, retry_after: timedelta) -> Outlook:
    return Outlook(ready=False, coming=False, sentence=sentence, retry_after=retry_after)
