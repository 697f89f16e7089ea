"""PURE: the replicas of a deployment, a line each."""

from datetime import datetime
from typing import assert_never

from bot.views import offers
from bot.views.amounts import count, moment
from bot.views.attempts import ATTEMPT_DOTS, engine_restarts, replacement, silence
from bot.views.boot_phases import now_at
from bot.views.escape import clip, inert
from bot.views.words import DOTS
from workers.decision.retry_policy import paused_until, too_many_unended
from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.condition import DeploymentStatus, is_ending, without_lease
from workers.deployment.events import Failure
from workers.deployment.state import Deployment

GONE = frozenset({Phase.FAILED, Phase.PREEMPTED})
GONE_SHOWN = 3
PENDING_NAMED = 4
MAX_WHY = 200


def lines(deployment: Deployment, now: datetime, *, gone: int = GONE_SHOWN) -> tuple[str, ...]:
    """A line each: the current replicas by number, those that are pending, and the last `gone` that were lost."""
    present = [a for a in deployment.attempts if a.phase in MAY_COST]
    present.sort(key=lambda a: (a.replica, a.number))
    lost = _lost(deployment)
    shown = (*present, *lost[len(lost) - min(gone, len(lost)) :])
    over = without_lease(deployment, now)
    texts = [_line(a, deployment, over=a in over) for a in shown]
    return (*texts[: len(present)], *_pending(deployment, now), *texts[len(present) :])


def _lost(deployment: Deployment) -> list[Attempt]:
    return [a for a in deployment.attempts if a.phase in GONE]


def _pending(deployment: Deployment, now: datetime) -> tuple[str, ...]:
    """The wanted replicas without an attempt, as one line."""
    missing = deployment.wanted - len(deployment.live)
    if missing <= 0 or is_ending(deployment):
        return ()
    taken = {a.replica for a in deployment.live}
    free = [n for n in range(1, deployment.wanted + len(taken) + 1) if n not in taken][:missing]
    which = ", ".join(str(n) for n in free)
    named = f"replica{'' if missing == 1 else 's'} {which}" if missing <= PENDING_NAMED else count(missing, "replica")
    return (f"{DOTS[DeploymentStatus.PLANNING]} {named} · pending: {_why_pending(deployment, now)}",)


def _why_pending(deployment: Deployment, now: datetime) -> str:
    if deployment.abandoned is not None:
        return "no further attempts"
    if too_many_unended(deployment):
        return "waiting until the cloud has ended failed machines"
    if until := paused_until(deployment, now):
        return f"the next attempt starts {moment(until)}"
    if deployment.exhausted is not None:
        return "no machine is available now"
    return "a machine is being chosen" if deployment.planned_at else "prices are being read"


def _line(attempt: Attempt, deployment: Deployment, *, over: bool) -> str:
    """`over`: its lease has run out, and no worker has recorded what became of it."""
    place = offers.place(attempt.offer)
    if attempt.offer.cloud != "local":
        place += f" ({offers.machine(attempt.offer)}, {offers.price(attempt.offer)})"
    dot = ATTEMPT_DOTS[Phase.NOT_READY if over else attempt.phase]
    standing = f"its lease ran out {moment(attempt.expires_at)}" if over else _standing(attempt, deployment)
    return f"{dot} replica {attempt.replica} · {place} · {standing}"


def _standing(attempt: Attempt, deployment: Deployment) -> str:
    """Its phase, the start of the phase, and the cause."""
    at = moment(attempt.since)
    match attempt.phase:
        case Phase.PREEMPTED:
            return f"preempted {at}; {replacement(attempt, deployment)}"
        case Phase.FAILED:
            return f"{failed(attempt)} {at}{_why(attempt)}"
        case Phase.DRAINING:
            return f"draining since {at}: answers its last requests, then ends{_why(attempt, ' (', ')')}"
        case Phase.READY:
            again = f"; its engine was started again {_times(attempt.engine_ends)}" if attempt.engine_ends else ""
            return f"ready since {at}{again}"
        case Phase.STARTING if attempt.progress or attempt.boot:
            restarts = f". {engine_restarts(attempt)}".removesuffix(".") if attempt.engine_end else ""
            doing = "; ".join(filter(None, (now_at(attempt), inert(clip(attempt.progress, MAX_WHY)))))
            return f"starting since {at}: {doing}{restarts}"
        case Phase.NOT_READY:
            return f"not ready since {at}: {silence(attempt)}"
        case phase:
            return f"{phase.value} since {at}{_why(attempt)}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def failed(attempt: Attempt) -> str:
    """How it failed, in a few words."""
    match attempt.failure:
        case Failure.PROVISION:
            return "was not created"
        case Failure.INITIAL_DELAY:
            return "was not ready in time"
        case Failure.PROBING:
            return "failed its probe for too long"
        case Failure.KEY_REFUSED:
            return "was given up"
        case Failure.CRASHED if attempt.engine_end is not None and not attempt.engine_end.again:
            return "ended after its engine failed"
        case Failure.CRASHED | None:
            return "was lost"
        case _ as never:
            assert_never(never)


def _why(attempt: Attempt, before: str = ": ", after: str = "") -> str:
    return f"{before}{inert(clip(attempt.why.rstrip('.'), MAX_WHY))}{after}" if attempt.why else ""
