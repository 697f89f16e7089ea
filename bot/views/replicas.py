"""PURE: the replicas of a deployment, a line each."""

from bot.views import offers
from bot.views.amounts import moment
from bot.views.escape import clip, code, inert
from bot.views.words import ATTEMPT_DOTS
from workers.deployment.state import LIVE, Attempt, Deployment, Phase

GONE = frozenset({Phase.FAILED, Phase.PREEMPTED})
GONE_SHOWN = 3


def worth_a_list(deployment: Deployment) -> bool:
    """Whether there is more to say of the replicas than the card's facts say."""
    made = sum(a.machine is not None for a in deployment.live)
    return (made > 0 and max(deployment.wanted, len(deployment.live)) > 1) or bool(_lost(deployment))


def lines(deployment: Deployment, *, gone: int = GONE_SHOWN) -> tuple[str, ...]:
    """Those that are there by number, then the last ones that were lost."""
    present = [a for a in deployment.attempts if a.phase in LIVE or a.phase is Phase.SHUTTING_DOWN]
    present.sort(key=lambda a: (a.replica, a.number))
    lost = _lost(deployment)
    return tuple(_line(a) for a in (*present, *lost[len(lost) - min(gone, len(lost)) :]))


def _lost(deployment: Deployment) -> list[Attempt]:
    return [a for a in deployment.attempts if a.phase in GONE]


def _line(attempt: Attempt) -> str:
    parts = [f"{ATTEMPT_DOTS[attempt.phase]} replica {attempt.replica}", offers.place(attempt.offer)]
    if attempt.offer.cloud != "local":
        parts[1] += f" ({offers.machine(attempt.offer)}, {offers.price(attempt.offer)})"
    address = attempt.address or (attempt.machine.address if attempt.machine else None)
    if address and attempt.phase in LIVE:
        parts.append(code(address))
    since = "" if attempt.phase in GONE else "since "
    parts.append(f"{attempt.phase.value} {since}{moment(attempt.since)}")
    why = f": {inert(clip(attempt.why.rstrip('.'), 200))}" if attempt.why and attempt.phase is not Phase.READY else ""
    return " · ".join(parts) + why
