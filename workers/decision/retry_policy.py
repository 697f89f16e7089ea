"""PURE: how long what is late or refused is waited for, and when it is left alone."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from workers.deployment.attempt import SOUND_AFTER, Attempt, Phase
from workers.deployment.events import Failure
from workers.deployment.state import Deployment
from workers.placement.refusals import back_off_until

START_TRIES = 2
"""So often an engine may fail to start before a deployment that never answered is given up."""

CRASHES_MOST = 5
"""After so many failures in a row no further replica is tried, until somebody scales. An engine that its machine had to
start again so often is not left there any longer.
"""

NOT_READY_FOR = timedelta(seconds=180)
"""A replica that fails its probe for so long is replaced; one whose machine starts its engine again has, on top of
it, as long as that took the first time."""

ASKED_FOR = timedelta(minutes=30)
"""A cloud that gives no answer about one machine for so long is not asked again for it."""

DRAIN_MOST = timedelta(minutes=15)
"""For so long a replica that is not wanted any more may go on answering the requests that it has."""

RETRY_AFTER = timedelta(minutes=1)
"""A deployment that has answered asks again after this, doubled with each failure in a row, at most BACK_OFF_MOST."""

BACK_OFF_MOST = timedelta(minutes=30)

DECIDE_WITHIN = timedelta(minutes=10)
"""So long a deployment that never answered waits on a dry ladder for somebody to say "keep trying"."""

UNENDED_MOST = 2
"""With so many machines whose end is not confirmed, or as many as are wanted, no further one is bought: they all cost.
"""

EARLY_LOSS = timedelta(minutes=10)
LOSSES_AT_ONCE = 2
"""So many times in a row what the cloud took back within EARLY_LOSS is replaced at once, and after pauses from then on.
"""

SPARE_AFTER_CRASHES = timedelta(hours=6)
"""A spare, or spot that is to relieve what stands in for it, is tried again so long after it was given up."""


def deadline(attempt: Attempt) -> datetime | None:
    """Until when an attempt may stay in the phase in which it is; None: for ever."""
    match attempt.phase:
        case Phase.PROVISIONING:
            return attempt.since + ASKED_FOR
        case Phase.STARTING:
            return attempt.since + attempt.request.boot.initial_delay
        case Phase.NOT_READY:
            return attempt.since + NOT_READY_FOR + _restarting(attempt)
        case Phase.DRAINING:
            return attempt.since + DRAIN_MOST
        case _:
            return None


def _restarting(attempt: Attempt) -> timedelta:
    """How long an engine may take that is started again: what it needs is there already, so no longer than before."""
    ended, ready, machine = attempt.engine_end, attempt.ready_at, attempt.machine
    if ended is None or not ended.again or ready is None or machine is None:
        return timedelta()
    return min(max(ready - machine.created_at, timedelta()), attempt.request.boot.initial_delay)


def next_deadline(state: Deployment) -> datetime | None:
    return min((until for a in state.attempts if (until := deadline(a))), default=None)


def hopeless(attempt: Attempt, now: datetime) -> tuple[str, Failure | None] | None:
    """Why an attempt is to be given up, and how it failed; None while it may go on. Draining late is no failure."""
    ended, until = attempt.engine_end, deadline(attempt)
    if ended is not None and not ended.again and attempt.phase in (Phase.STARTING, Phase.NOT_READY):
        return ended.how, Failure.CRASHED
    if ended is not None and attempt.stumbles >= CRASHES_MOST and attempt.phase is Phase.NOT_READY:
        minutes = SOUND_AFTER.total_seconds() / 60
        often = f"{attempt.stumbles} times without answering for {minutes:.0f} min in between"
        return f"{ended.how}, {often}", Failure.CRASHED
    if until is None or now < until:
        return None
    match attempt.phase:
        case Phase.NOT_READY:
            waited = (until - attempt.since).total_seconds()
            return f"failed its readiness probe for {waited:.0f} s: {attempt.why}", Failure.PROBING
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
    """Of a ladder on which all was refused: until when it is left; None: it is not dry."""
    if state.exhausted is None:
        return None
    if _keeps_trying(state, state.exhausted.at) and state.keep_trying is not None:
        return min(state.exhausted.at + state.keep_trying.every, state.keep_trying.until)
    return state.exhausted.at + DECIDE_WITHIN


def paused_until(state: Deployment, now: datetime) -> datetime | None:
    """Until when to leave it after failures: a first failure is tried again at once."""
    pauses = (_after_dry(state), _after_failures(state), _after_losses(state), back_off_until(state.refusals, now))
    until = max((pause for pause in pauses if pause is not None), default=None)
    return until if until and now < until else None


def _after_dry(state: Deployment) -> datetime | None:
    """A deployment that answers, or has answered, goes on by itself; for another one somebody has to decide."""
    dry = state.exhausted
    if dry is None or not (state.live or state.established) or _lost_since(state, dry.at):
        return None
    pause = _doubled(state.dry_in_a_row - 1)
    if _keeps_trying(state, dry.at) and state.keep_trying is not None:
        pause = min(pause, state.keep_trying.every)
    return dry.at + pause


def _keeps_trying(state: Deployment, at: datetime) -> bool:
    return state.keep_trying is not None and at < state.keep_trying.until


def _lost_since(state: Deployment, at: datetime) -> bool:
    """Whether a replica went after the ladder was dry: what it needs may be open, though what was missing is not."""
    lost = (Phase.PREEMPTED, Phase.FAILED)
    return any(a.gone_at is not None and a.gone_at > at and a.phase in lost for a in state.attempts)


def _after_failures(state: Deployment) -> datetime | None:
    failures = failures_in_a_row(state)
    tries = rounds(failures)
    return failures[-1].since + _doubled(tries - START_TRIES) if tries >= START_TRIES else None


def _after_losses(state: Deployment) -> datetime | None:
    """A zone that gives machines out and takes them back at once is not to be paid by the minute all day."""
    lost: list[Attempt] = []
    gone = [(a.gone_at, a) for a in state.attempts if a.gone_at is not None and a.machine is not None]
    for at, attempt in sorted(gone, key=lambda one: one[0], reverse=True):
        lived = at - attempt.machine.created_at if attempt.machine else timedelta()
        if attempt.phase is not Phase.PREEMPTED or lived >= EARLY_LOSS or attempt.intended_at < state.tries_from:
            break
        lost.insert(0, attempt)
    times = rounds(lost)
    return lost[-1].since + _doubled(times - LOSSES_AT_ONCE - 1) if times > LOSSES_AT_ONCE else None


def too_many_unended(state: Deployment) -> bool:
    """Whether so many machines are still to end that no further one is bought."""
    unended = sum(a.phase is Phase.SHUTTING_DOWN and a.machine is not None for a in state.attempts)
    return unended >= max(UNENDED_MOST, state.wanted)


def failures_in_a_row(state: Deployment) -> tuple[Attempt, ...]:
    """The machines that failed since the last one that lived or since somebody scaled, in the order of their ends.

    One counts from the moment when it was given up: its cloud may not say for days that it has ended.
    """
    failures: list[Attempt] = []
    for attempt in sorted(state.attempts, key=_place_in_time):
        if attempt.intended_at < state.tries_from:
            continue
        if _lived(attempt, state.updated_at):
            failures.clear()
        elif attempt.phase is Phase.FAILED or (attempt.phase is Phase.SHUTTING_DOWN and attempt.failure is not None):
            failures.append(attempt)
    return tuple(failures)


def _place_in_time(attempt: Attempt) -> datetime:
    ended = attempt.gone_at or (attempt.since if attempt.phase is Phase.SHUTTING_DOWN else None)
    return ended or attempt.ready_at or attempt.intended_at


def rounds(failures: Sequence[Attempt]) -> int:
    """How often it was tried: machines that were bought before the first of them failed are one try together."""
    times, failed_at = 0, None
    for failure in failures:
        if failed_at is None or failure.intended_at >= failed_at:
            times, failed_at = times + 1, failure.since
    return times


def _lived(attempt: Attempt, now: datetime) -> bool:
    if attempt.sound or attempt.answers_since is None:
        return attempt.sound
    return (attempt.not_ready_at or attempt.gone_at or now) - attempt.answers_since > SOUND_AFTER


def _doubled(times: int) -> timedelta:
    return min(RETRY_AFTER * int(2 ** max(0, min(times, 6))), BACK_OFF_MOST)
