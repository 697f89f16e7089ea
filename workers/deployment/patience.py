"""How long what is late or refused is waited for, and when it is left alone: pure."""

from datetime import datetime, timedelta

from workers.deployment.events import Failure
from workers.deployment.state import KEPT, Attempt, Deployment, Phase
from workers.placement.blocks import back_off_until

START_TRIES = 2
"""So many machines in a row may fail to start an engine before a deployment that never answered is given up."""

CRASHES_MOST = 5
"""After so many failures in a row no further replica is tried, until somebody scales."""

NOT_READY_FOR = timedelta(seconds=180)
"""A replica that fails its probe for so long is replaced."""

ASKED_FOR = timedelta(minutes=30)
"""A cloud that gives no answer about one machine for so long is not asked again for it."""

DRAIN_MOST = timedelta(minutes=15)
"""For so long a replica that is not wanted any more may go on answering the requests that it has."""

RETRY_AFTER = timedelta(minutes=1)
"""A deployment that still answers asks again after this, doubled with each failure in a row, at most BACK_OFF_MOST."""

BACK_OFF_MOST = timedelta(minutes=30)

DECIDE_WITHIN = timedelta(minutes=10)
"""So long a deployment without any machine waits on a dry ladder for somebody to say "keep trying"."""

EARLY_DEATH = timedelta(minutes=5)
"""A replica that lived shorter than this after it was ready counts as a failure in a row."""


def deadline(attempt: Attempt) -> datetime | None:
    """Until when an attempt may stay in the phase in which it is; None: for ever."""
    match attempt.phase:
        case Phase.PROVISIONING:
            return attempt.since + ASKED_FOR
        case Phase.STARTING:
            return attempt.since + attempt.request.boot.initial_delay
        case Phase.NOT_READY:
            return attempt.since + NOT_READY_FOR
        case Phase.DRAINING:
            return attempt.since + DRAIN_MOST
        case _:
            return None


def next_deadline(state: Deployment) -> datetime | None:
    return min((until for a in state.attempts if (until := deadline(a))), default=None)


def too_late(attempt: Attempt, now: datetime) -> tuple[str, Failure | None] | None:
    """Why an attempt is to be given up, and how it failed; None while it may go on. Draining late is no failure."""
    until = deadline(attempt)
    if until is None or now < until:
        return None
    match attempt.phase:
        case Phase.NOT_READY:
            return (
                f"failed its readiness probe for {NOT_READY_FOR.total_seconds():.0f} s: {attempt.why}",
                Failure.PROBING,
            )
        case Phase.PROVISIONING:
            minutes = ASKED_FOR.total_seconds() / 60
            return f"its cloud gave no answer for {minutes:.0f} min. {attempt.progress}".strip(), Failure.PROVISION
        case Phase.DRAINING:
            return f"{attempt.why}; its last requests took longer than {DRAIN_MOST.total_seconds() / 60:.0f} min", None
        case _:
            waited = (until - attempt.since).total_seconds()
            said = f"; its readiness probe: {attempt.probe_says}" if attempt.probe_says else ""
            return f"its engine was not ready {waited:.0f} s after the machine started{said}", Failure.INITIAL_DELAY


def dry_until(state: Deployment) -> datetime | None:
    """Of a ladder on which all was refused: until when it is left; None: it is not to be climbed again."""
    if state.exhausted is None:
        return None
    if state.keep_trying is None:
        return state.exhausted.at + DECIDE_WITHIN
    return min(state.exhausted.at + state.keep_trying.every, state.keep_trying.until)


def paused_until(state: Deployment, now: datetime) -> datetime | None:
    """Until when to leave it after failures: a first failure is tried again at once."""
    failures = failures_in_a_row(state)
    if state.exhausted is not None and state.live and not _lost_since(state, state.exhausted.at):
        until: datetime | None = state.exhausted.at + _doubled(state.dry_in_a_row - 1)
    elif len(failures) >= START_TRIES:
        until = failures[-1].since + _doubled(len(failures) - START_TRIES)
    else:
        until = back_off_until(state.refusals, now)
    return until if until and now < until else None


def _lost_since(state: Deployment, at: datetime) -> bool:
    """Whether a replica went after the ladder was dry: what it needs may be open, though what was missing is not."""
    return any(a.gone_at is not None and a.gone_at > at and a.phase is Phase.PREEMPTED for a in state.attempts)


def failures_in_a_row(state: Deployment) -> tuple[Attempt, ...]:
    """The machines that failed since the last one that lived or since somebody scaled, oldest first."""
    failures: list[Attempt] = []
    for attempt in state.attempts:
        if attempt.intended_at < state.tries_from:
            continue
        if _lived(attempt):
            failures.clear()
        elif attempt.phase is Phase.FAILED:
            failures.append(attempt)
    return tuple(failures)


def _lived(attempt: Attempt) -> bool:
    if attempt.ready_at is None:
        return False
    if attempt.phase in KEPT or attempt.phase is Phase.ENDED:
        return True
    return attempt.gone_at is not None and attempt.gone_at - attempt.ready_at > EARLY_DEATH


def _doubled(times: int) -> timedelta:
    return min(RETRY_AFTER * int(2 ** max(0, min(times, 6))), BACK_OFF_MOST)
