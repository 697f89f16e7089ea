"""PURE: how long the control loop waits for what is late, and when it replaces, repeats or gives up what failed.

What happens to an attempt        Wait                                     Then it is given up, with this failure
--------------------------------  ---------------------------------------  --------------------------------------
Cloud does not answer the create  30 min; the request is repeated. Less    provision; none if another one
                                  if another offer is open: see `silence`  is requested instead
Boot, installation or pull takes  20, 60 and 40 min (BOOT_LIMITS), but     initial delay
  too long                        never less than without any report
Engine is not ready after its     the recipe's initial delay (or 20 min);  initial delay
  start                           a download of weights that moves is not
                                  counted, at most 60 min
Machine reports no phase          20 min (0 if local), and the delay       initial delay
Engine refuses its key at boot    none: three refusals in a row            key refused
Probe of a ready replica fails    180 s from the first failed one; after   probing; it drains first if it
                                  a restart of the engine, in addition     answers requests
                                  the time of the first boot
Engine ends and is not restarted  none                                     crashed
Engine is restarted, after ready  5 ends without 30 min of answers         crashed
Replica drains                    15 min for its open requests             none, or the one that it drains for

What happens in a row             Wait before the next try
--------------------------------  -------------------------------------------------------------------------------
Failures, never ready before      1st: none. 2nd: the deployment ends
Failures, ready before            1st: none. 2nd: 1 min. 3rd: 2 min. 4th: 4 min. 5th: until a person scales; 6 h for
                                  a spare. More than 30 min of answers resets the count
Preemptions within 10 min         1st and 2nd: none. 3rd: 1 min, then doubled up to 30 min
Dry ladders, none live or ready   10 min for a person to choose to keep trying, then the deployment ends; none if no
  before                          offer is usable and none was refused: it ends immediately
Dry ladders, otherwise            1st: 1 min, then doubled up to 30 min; none after a replica was lost
Refusals with scope `back off`    until the refusal's end
Dry ladders, keep trying          at most the interval that was requested, until the time that was requested
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

from workers.deployment.attempt import LEAVING, SOUND_AFTER, Attempt, Phase
from workers.deployment.events import Failure, OfferRefused
from workers.deployment.state import Deployment
from workers.machines import BootPhase
from workers.placement.refusals import Scope, back_off_until

START_TRIES = 2
"""Number of failures in a row after which a deployment that was never ready ends."""

MAX_FAILURES = 5
"""Failures in a row until replicas are no longer tried; ends of an engine in a row until its attempt is given up."""

NOT_READY_FOR = timedelta(seconds=180)
"""Time for which a ready replica may fail its probe. For a restarted engine see `_restarting`."""

BOOT_LIMITS = {
    BootPhase.BOOTING: timedelta(minutes=20),  # usually 3 to 5 min; the machine itself waits 15 min for its driver
    BootPhase.INSTALLING: timedelta(minutes=60),  # Docker: 1 to 3 min; a recipe's setup may compile its packages
    BootPhase.PULLING: timedelta(minutes=40),  # usually 4 to 6 min for 10 GB; a registry far away takes 5 times that
}
"""Maximum time in each phase before the engine's start, from its first report."""

MAX_DOWNLOAD = timedelta(minutes=60)
"""Maximum time for which a download of weights postpones the initial delay: 700 GB take 27 min at 438 MB/s."""

BOOTS_WITHIN = timedelta(minutes=20)
"""Time before the initial delay of a cloud's machine that reports no phase: twice the usual boot and pull.

Its console may be late by minutes, or closed to the worker's role.
"""

UNANSWERED_FOR = timedelta(minutes=30)
"""Maximum time from an intent to an answer of the cloud; then the attempt is given up."""

MAX_DRAIN = timedelta(minutes=15)
"""Maximum time that a draining replica may take for its open requests."""

RETRY_AFTER = timedelta(minutes=1)
"""First pause of a deployment that was ready before; doubled with each failure in a row, at most MAX_PAUSE."""

MAX_PAUSE = timedelta(minutes=30)

DECIDE_WITHIN = timedelta(minutes=10)
"""Time that a deployment that was never ready waits on a dry ladder for a person to choose to keep trying."""

MAX_UNENDED = 2
"""Number of machines with an unconfirmed end at which no further machine is bought; `wanted`, if that is more."""

EARLY_LOSS = timedelta(minutes=10)
"""Time from the intent of a machine to its preemption below which this counts as early."""
IMMEDIATE_REPLACEMENTS = 2
"""Number of early preemptions in a row that are replaced immediately; a pause precedes each further replacement."""

SPARE_AFTER_CRASHES = timedelta(hours=6)
"""Time after MAX_FAILURES until a spare, or spot to replace an on-demand fallback, is tried again."""


def deadline(attempt: Attempt) -> datetime | None:
    """Time until which an attempt may stay in its phase; None if there is no limit."""
    match attempt.phase:
        case Phase.PROVISIONING:
            return attempt.since + UNANSWERED_FOR
        case Phase.STARTING:
            return _ready_by(attempt)
        case Phase.NOT_READY:
            return attempt.since + NOT_READY_FOR + _restarting(attempt)
        case Phase.DRAINING:
            return attempt.since + MAX_DRAIN
        case _:
            return None


def _ready_by(attempt: Attempt) -> datetime:
    """Time until which a starting attempt may stay in the present phase of its boot.

    A console may fall silent after a report. That ends no machine earlier than a console that was silent all the time.
    """
    delay = attempt.request.boot.initial_delay
    without_report = attempt.since + attempt.request.boots_within + delay
    if not attempt.boot:
        return without_report
    stage = attempt.boot[-1]
    if stage.phase in BOOT_LIMITS:
        return max(stage.since + BOOT_LIMITS[stage.phase], without_report)
    return min(stage.moved_at, stage.since + MAX_DOWNLOAD) + delay


def _restarting(attempt: Attempt) -> timedelta:
    """Time for a restarted engine: that from the intent to the first readiness, at most the initial delay.

    0 if no engine restarts. Both times are by our clock: the machine's creation is by its cloud's.
    """
    ended, ready = attempt.engine_end, attempt.ready_at
    if ended is None or not ended.again or ready is None:
        return timedelta()
    return min(max(ready - attempt.intended_at, timedelta()), attempt.request.boot.initial_delay)


def next_deadline(state: Deployment) -> datetime | None:
    return min((until for a in state.attempts if (until := deadline(a))), default=None)


def why_give_up(attempt: Attempt, now: datetime) -> tuple[str, Failure | None] | None:
    """Why to give up an attempt, and its failure (None if it did not fail); None while the attempt may go on."""
    ended, until = attempt.engine_end, deadline(attempt)
    if ended is not None and not ended.again and attempt.phase in (Phase.STARTING, Phase.NOT_READY):
        return ended.how, Failure.CRASHED
    if ended is not None and attempt.stumbles >= MAX_FAILURES and attempt.phase is Phase.NOT_READY:
        minutes = SOUND_AFTER.total_seconds() / 60
        repeated = f"{attempt.stumbles} times without answering for {minutes:.0f} min in between"
        return f"{ended.how}, {repeated}", Failure.CRASHED
    if attempt.key_refused and attempt.phase is Phase.STARTING:
        return attempt.probe_says, Failure.KEY_REFUSED
    if until is None or now < until:
        return None
    match attempt.phase:
        case Phase.NOT_READY:
            waited = (until - attempt.since).total_seconds()
            return f"failed its readiness probe for {waited:.0f} s: {attempt.why}", Failure.PROBING
        case Phase.PROVISIONING:
            minutes = UNANSWERED_FOR.total_seconds() / 60
            return f"its cloud gave no answer for {minutes:.0f} min. {attempt.progress}".strip(), Failure.PROVISION
        case Phase.DRAINING:
            minutes = MAX_DRAIN.total_seconds() / 60
            return f"{attempt.why}; its last requests took longer than {minutes:.0f} min", attempt.failure
        case _:
            return _too_late(attempt, until), Failure.INITIAL_DELAY


def _too_late(attempt: Attempt, until: datetime) -> str:
    """Which phase of the boot took too long."""
    stage = attempt.boot[-1] if attempt.boot else None
    reason = f"; its readiness probe: {attempt.probe_says}" if attempt.probe_says else ""
    if stage is None:
        waited = (until - attempt.since).total_seconds()
        silent = ", and its console reported no phase of the boot" if attempt.request.boots_within else ""
        return f"its engine was not ready {waited:.0f} s after the machine started{silent}{reason}"
    minutes = f"{(until - stage.since).total_seconds() / 60:.0f} min"
    percent = f"{stage.percent} % done" if stage.percent is not None else ""
    doing = f" ({told})" if (told := "; ".join(filter(None, (percent, attempt.progress)))) else ""
    if stage.phase in BOOT_LIMITS and until - stage.since > BOOT_LIMITS[stage.phase]:
        waited = (until - attempt.since).total_seconds()
        last = f"the last phase in its console is {stage.phase.value}{doing}"
        return f"its engine was not ready {waited:.0f} s after the machine started; {last}{reason}"
    match stage.phase:
        case BootPhase.BOOTING:
            return f"the machine was still booting after {minutes}{doing}"
        case BootPhase.INSTALLING:
            return f"the installation on the machine (Docker, or the recipe's setup) took longer than {minutes}{doing}"
        case BootPhase.PULLING:
            return f"the pull of the container image took longer than {minutes}{doing}"
        case BootPhase.LOADING:
            waited = (until - stage.since).total_seconds()
            return f"its engine was not ready {waited:.0f} s after it was started{reason}"
        case _:
            assert_never(stage.phase)


def dry_until(state: Deployment) -> datetime | None:
    """Time at which a dry ladder is tried again; None if the ladder is not dry."""
    if state.exhausted is None:
        return None
    if _keeps_trying(state, state.exhausted.at) and state.keep_trying is not None:
        return min(state.exhausted.at + state.keep_trying.every, state.keep_trying.until)
    return state.exhausted.at + DECIDE_WITHIN


def paused_until(state: Deployment, now: datetime) -> datetime | None:
    """End of the longest current pause, during which no machine is bought; None without a pause."""
    pauses = (_after_dry(state, now), _after_failures(state, now), _after_losses(state, now), _throttled(state, now))
    until = max((pause for pause in pauses if pause is not None), default=None)
    return until if until and now < until else None


def is_ahead(at: datetime, now: datetime) -> bool:
    """Whether a time is over MAX_PAUSE ahead of now, by a wrong clock. A pause from it would last until then."""
    return at - now > MAX_PAUSE


def _throttled(state: Deployment, now: datetime) -> datetime | None:
    """End of the back-off. Calls that were made before one of them was throttled count as one."""
    counted: list[OfferRefused] = []
    refused = [(a.refusal, a) for a in state.attempts if a.refusal is not None]
    for refusal, attempt in sorted(refused, key=lambda one: one[0].at):
        if not (
            counted and _is_back_off(refusal) and _is_back_off(counted[-1]) and attempt.intended_at < counted[-1].at
        ):
            counted.append(refusal)
    return back_off_until(counted, now)


def _is_back_off(refused: OfferRefused) -> bool:
    return all(refusal.scope is Scope.BACK_OFF for refusal in refused.refusals)


def _after_dry(state: Deployment, now: datetime) -> datetime | None:
    """The end of the pause on a dry ladder; None if it is not dry, or if a person has to decide (`dry_until`)."""
    dry = state.exhausted
    if dry is None or is_ahead(dry.at, now) or not (state.live or state.established):
        return None
    if _lost_since(state, dry.at, now):
        return None
    pause = _doubled(state.dry_in_a_row - 1)
    if _keeps_trying(state, dry.at) and state.keep_trying is not None:
        pause = min(pause, state.keep_trying.every)
    return dry.at + pause


def _keeps_trying(state: Deployment, at: datetime) -> bool:
    return state.keep_trying is not None and at < state.keep_trying.until


def _lost_since(state: Deployment, at: datetime, now: datetime) -> bool:
    """Whether a replica was lost after the ladder was dry: an offer for its replacement may be open.

    After a step back of the clock, a loss may be later than `now`: without a pause, the ladder would be dry at once,
    again and again.
    """
    lost = (Phase.PREEMPTED, Phase.FAILED)
    return any(a.gone_at is not None and at < a.gone_at <= now and a.phase in lost for a in state.attempts)


def _after_failures(state: Deployment, now: datetime) -> datetime | None:
    failures = [failure for failure in failures_in_a_row(state) if not is_ahead(failure.since, now)]
    tries = rounds(failures)
    return failures[-1].since + _doubled(tries - START_TRIES) if tries >= START_TRIES else None


def _after_losses(state: Deployment, now: datetime) -> datetime | None:
    """End of the pause after early preemptions; None without one. It limits the purchase of short-lived machines."""
    lost: list[Attempt] = []
    gone = [(a.gone_at, a) for a in state.attempts if a.gone_at is not None and a.machine is not None]
    for at, attempt in sorted((one for one in gone if not is_ahead(one[0], now)), key=lambda one: one[0], reverse=True):
        early = at - attempt.intended_at < EARLY_LOSS  # both by our clock; the machine's creation is by its cloud's
        if attempt.phase is not Phase.PREEMPTED or not early or not _counts(state, attempt):
            break
        lost.insert(0, attempt)
    times = rounds(lost)
    return lost[-1].since + _doubled(times - IMMEDIATE_REPLACEMENTS - 1) if times > IMMEDIATE_REPLACEMENTS else None


def too_many_unended(state: Deployment) -> bool:
    """Whether so many ends are unconfirmed that no further machine is bought."""
    unended = sum(a.phase is Phase.SHUTTING_DOWN and a.machine is not None for a in state.attempts)
    return unended >= max(MAX_UNENDED, state.wanted)


def failures_in_a_row(state: Deployment) -> tuple[Attempt, ...]:
    """The attempts that failed after the last sound replica and the last scaling by a person, in order of their ends.

    An attempt counts from the time it was given up: its cloud may confirm its end days later. One that ended by a clock
    that was far ahead is left out: a sound one would stand after each later failure.
    """
    failures: list[Attempt] = []
    for attempt in sorted(state.attempts, key=lambda a: a.ordered_at):
        if not _counts(state, attempt) or is_ahead(attempt.ordered_at, state.updated_at):
            continue
        if attempt.is_sound(state.updated_at):
            failures.clear()
        elif attempt.phase is Phase.FAILED or (attempt.phase in LEAVING and attempt.failure is not None):
            failures.append(attempt)
    return tuple(failures)


def _counts(state: Deployment, attempt: Attempt) -> bool:
    """Whether it was intended after the last launch or scaling by a person.

    If the time of that is ahead of now, each counts: otherwise none would until then, and purchases had no bound.
    """
    return attempt.intended_at >= state.tries_from or is_ahead(state.tries_from, state.updated_at)


def rounds(failures: Sequence[Attempt]) -> int:
    """Number of tries: attempts that were intended before the first of them failed count as one try."""
    times, failed_at = 0, None
    for failure in failures:
        if failed_at is None or failure.intended_at >= failed_at:
            times, failed_at = times + 1, failure.since
    return times


def _doubled(times: int) -> timedelta:
    return min(RETRY_AFTER * int(2 ** max(0, min(times, 6))), MAX_PAUSE)
