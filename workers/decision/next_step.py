"""PURE: the next step of a deployment, decided from its state and the time."""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from workers.decision.choice import is_misconfigured, launchable, why_dry
from workers.decision.end_time import is_over, is_to_be_announced
from workers.decision.mix import Lack, Mix, draining_for, lacks, mix_of, relieved, surplus
from workers.decision.opening import AnnouncePause, Pause, Resume, hours_step
from workers.decision.retry_policy import (
    MAX_FAILURES,
    SPARE_AFTER_CRASHES,
    START_TRIES,
    UNANSWERED_FOR,
    dry_until,
    failures_in_a_row,
    is_ahead,
    next_deadline,
    paused_until,
    rounds,
    too_many_unended,
    why_give_up,
)
from workers.decision.silence import (
    MAX_AT_ONCE,
    MAX_UNANSWERED,
    NO_ANSWER,
    UNKNOWN_AFTER,
    is_climbing,
    is_settled_since,
    is_unsettled,
    late,
    silent_places,
    superseded,
)
from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.deployment.events import Failure
from workers.deployment.state import Deployment
from workers.placement.offer import Offer

PLAN_AGES = timedelta(minutes=10)
"""Age of a ladder after which it is planned again before a machine is bought."""


_NOTHING_ASKED: Mapping[int, timedelta] = MappingProxyType({})

_ANOTHER_TOOK_ITS_PLACE = "its cloud answered late, and another machine was requested meanwhile"


class PlanLadder(Struct, frozen=True):
    """Plan the ladder from clouds and prices, and append it."""


class LaunchReplica(Struct, frozen=True):
    """Append the intent of a machine on one of these offers."""

    attempt: int
    replica: int
    offers: tuple[Offer, ...]
    beside: int = 0
    """Number of the attempt without an answer whose place it takes; 0: none."""


class Create(Struct, frozen=True):
    """Request the machine of an intent from its cloud, or find the one that exists already."""

    attempt: Attempt


class Drain(Struct, frozen=True):
    """Decide that a replica ends after it has answered its requests."""

    attempt: int
    why: str
    failure: Failure | None = None


class Keep(Struct, frozen=True):
    """Decide that a draining replica is kept."""

    attempt: int


class GiveUp(Struct, frozen=True):
    """Decide that a replica ends."""

    attempt: int
    why: str
    failure: Failure | None = None


class Abandon(Struct, frozen=True):
    """Decide that no further replica is tried, because replicas failed repeatedly."""

    why: str


class Terminate(Struct, frozen=True):
    """End the machine of a replica that was given up."""

    attempt: Attempt


class Test(Struct, frozen=True):
    """Request a completion of a test sentence through the endpoint."""

    url: str


class Exhaust(Struct, frozen=True):
    """Decide that the ladder is dry."""

    why: str


class AnnounceEnd(Struct, frozen=True):
    """Announce that the deployment ends at this time."""

    until: datetime


class Stop(Struct, frozen=True):
    """Request the end of the deployment, because its time is over."""


class EndDeployment(Struct, frozen=True):
    """End the deployment, of which no machine is left."""

    failed: str | None = None


class Wait(Struct, frozen=True):
    """Do nothing until something is observed, or until `until`."""

    until: datetime | None = None


Step: TypeAlias = (
    PlanLadder
    | LaunchReplica
    | Create
    | Drain
    | Keep
    | GiveUp
    | Abandon
    | Terminate
    | Test
    | Exhaust
    | AnnounceEnd
    | Stop
    | AnnouncePause
    | Pause
    | Resume
    | EndDeployment
    | Wait
)


def next_step(
    state: Deployment,
    now: datetime,
    silent: Container[int] = (),
    apart: Container[int] = (),
    streaming: Container[int] = (),
    *,
    asked: Mapping[int, timedelta] = _NOTHING_ASKED,
) -> Step:
    """The step to do now. Ends come first, then open attempts, then the test completion, then what is lacking.

    `silent`: numbers of the attempts whose cloud has just given no answer or an error; they are skipped.
    `apart`: numbers of the attempts that are left to another worker. They count as replicas, and are neither created,
    given up nor ended here.
    `streaming`: numbers of those that are answering requests; the gateway cuts the requests of a replica that is dead.
    `asked`: the ages of the calls that are open here, by attempt. Such an attempt is neither requested again nor ended.
    """
    if state.newer:
        return Wait()  # what the newer version decided is not known
    ending = [a for a in state.attempts if a.phase is Phase.SHUTTING_DOWN]
    ending = [a for a in ending if a.number not in apart and a.number not in silent and a.number not in asked]
    ending.sort(key=lambda a: (a.machine is None, bool(a.lost)))  # first what is billed, and whose cloud answers
    if ending and (ending[0].machine is not None or state.ended or state.stopped_by is not None):
        return Terminate(ending[0])
    if state.ended:
        return Wait()
    if state.stopped_by is not None:
        gone = all(a.phase is not Phase.SHUTTING_DOWN for a in state.attempts)
        return EndDeployment() if gone else Wait()
    if state.until is not None and is_to_be_announced(state, now):
        return AnnounceEnd(state.until)
    if is_over(state, now):
        return Stop()
    if due := hours_step(state, now):
        return due
    mix = mix_of(state.recipe, spot=state.limits.spot)
    taken = superseded(state.attempts)
    counted = tuple(a for a in state.attempts if a.number not in taken)
    lacking = lacks(mix, state.wanted, counted)
    if step := _surplus(state, counted, mix) or _kept(state, lacking):
        return step
    for attempt in state.attempts:
        if attempt.number in apart or attempt.number in asked:
            continue
        if attempt.number in taken:
            return GiveUp(attempt.number, _ANOTHER_TOOK_ITS_PLACE)
        if step := _about(attempt, now, silent, streaming):
            return step
    if ending:
        return Terminate(ending[0])  # whether it has a machine is unknown: its cloud may take long to say so
    if state.ready and state.endpoint is not None and state.test is None:
        return Test(state.endpoint.url)  # before further replicas: people wait for the answer
    waiting = late(counted, asked, silent, now)
    step = _missing(state, counted, waiting, lacking, now) if lacking and state.abandoned is None else None
    if isinstance(step, EndDeployment) and is_unsettled(state):
        step = None
    step = step or (_beside(state, mix, counted, waiting, now) if waiting else None)
    return step or Wait(until=next_deadline(state))


def _about(attempt: Attempt, now: datetime, silent: Container[int], streaming: Container[int]) -> Step | None:
    """Request the machine of an open attempt, or give up one that takes too long."""
    if attempt.phase is Phase.PROVISIONING and now < attempt.since + UNANSWERED_FOR:
        return None if attempt.number in silent else Create(attempt)
    if attempt.phase is Phase.DRAINING and attempt.is_ahead(now):
        return Drain(attempt.number, attempt.why, attempt.failure)  # the clock was set back: the wait begins again
    given_up = why_give_up(attempt, now)
    if given_up is None:
        return None
    why, failure = given_up
    if attempt.phase is Phase.NOT_READY and failure is Failure.PROBING and attempt.number in streaming:
        return Drain(attempt.number, why, failure)  # it works: its streams are not cut
    return GiveUp(attempt.number, why, failure=failure)


def _surplus(state: Deployment, counted: Sequence[Attempt], mix: Mix) -> Step | None:
    """End a replica if there are too many; one that may be answering requests is drained first."""
    over = surplus(mix, state.wanted, counted)
    if over is None:
        return None
    why = "a spot replica took its place" if relieved(mix, state.wanted, counted, over) else "scaled down"
    if any(over.number in (a.beside, a.number) for a in counted if a.beside and a.phase in LIVE):
        why = _ANOTHER_TOOK_ITS_PLACE
    serves = over.phase in (Phase.READY, Phase.NOT_READY) and state.endpoint is not None
    return Drain(over.number, why) if serves else GiveUp(over.number, why)


def _kept(state: Deployment, lacking: tuple[Lack, ...]) -> Step | None:
    """Keep a draining replica in place of a new one, which costs more and takes longer."""
    found = next((a for lack in lacking if (a := draining_for(lack, state.attempts))), None)
    return Keep(found.number) if found else None


def _missing(
    state: Deployment,
    counted: Sequence[Attempt],
    waiting: Sequence[Attempt],
    lacking: tuple[Lack, ...],
    now: datetime,
) -> Step | None:
    """Request a further replica, or say why there is none. `waiting`: the attempts whose cloud has not answered."""
    spare = lacking == (Lack.SPARE,)
    open_calls = [a for a in counted if a.phase is Phase.PROVISIONING and a not in waiting]
    if too_many_unended(state) or (open_calls and (len(open_calls) >= MAX_AT_ONCE or is_climbing(state))):
        return None
    if crashed := _crash_loop(state):
        if not spare:
            return crashed
        if now < (again := failures_in_a_row(state)[-1].since + SPARE_AFTER_CRASHES):
            return Wait(until=again)  # a spare is not urgent
    if not (state.live or state.established) and (step := _dry(state, now)):
        return step
    if pause := paused_until(state, now):
        return Wait(until=pause)
    offers = launchable(state, lacking, now, silent_places(state.attempts, {a.number for a in waiting}))
    offers = offers or launchable(state, lacking, now)
    if spare and not offers:
        return None
    if state.planned_at is None or state.exhausted is not None or abs(now - state.planned_at) > PLAN_AGES:
        return PlanLadder()
    if offers:
        return LaunchReplica(attempt=_next_number(state), replica=_free_replica(state), offers=offers)
    why = why_dry(state, lacking[0], now)
    if not (state.live or state.established) and (not state.refusals or is_misconfigured(state, now)):
        return EndDeployment(failed=why)  # the ladder stays empty until a person changes limits, recipe or clouds
    return Exhaust(why)


def _beside(
    state: Deployment, mix: Mix, counted: Sequence[Attempt], waiting: Sequence[Attempt], now: datetime
) -> Step | None:
    """Request the next offer in another place beside a call without an answer, or give up one that may be unknown."""
    lacking = lacks(mix, state.wanted, [a for a in counted if a not in waiting])
    open_calls = [a for a in state.attempts if a.phase is Phase.PROVISIONING]
    if not lacking or lacking == (Lack.SPARE,) or paused_until(state, now) or too_many_unended(state):
        return None
    without, first = silent_places(state.attempts, {a.number for a in open_calls}), waiting[0]
    if len(open_calls) <= MAX_UNANSWERED and (offers := launchable(state, lacking, now, without)):
        number = _next_number(state)
        return LaunchReplica(attempt=number, replica=first.replica, offers=offers, beside=first.number)
    alone = replace(state, attempts=tuple(a for a in state.attempts if a is not first))
    if now - first.since >= UNKNOWN_AFTER and launchable(alone, lacking, now, without):
        return GiveUp(first.number, NO_ANSWER)
    return None


def _crash_loop(state: Deployment) -> Step | None:
    """End a deployment that never started, or abandon replicas that fail repeatedly."""
    failures = failures_in_a_row(state)
    if not failures:
        return None
    times, last = rounds(failures), failures[-1]
    refused = last.failure is Failure.KEY_REFUSED  # a further try would end in the same way
    if not state.established and (times >= START_TRIES or refused):
        if state.live:
            return Wait(until=next_deadline(state))  # a replica of the same try may still start
        if refused:
            return EndDeployment(failed=f"No replica is ready: {last.why}.")
        return EndDeployment(failed=f"The engine failed to start {times} times in a row. The last time: {last.why}.")
    if times < MAX_FAILURES:
        return None
    return Abandon(f"Replicas failed {times} times in a row, so no further one is tried. The last time: {last.why}.")


def _dry(state: Deployment, now: datetime) -> Step | None:
    """Wait on a dry ladder, then end the deployment; None if the ladder is to be tried."""
    until = dry_until(state)
    if state.exhausted is None or until is None or is_ahead(state.exhausted.at, now):
        return None
    if is_settled_since(state, state.exhausted.at, now):
        return None
    if now < until:
        return Wait(until=until)
    again = state.keep_trying is not None and now < state.keep_trying.until
    return None if again else EndDeployment(failed=state.exhausted.why)


def _next_number(state: Deployment) -> int:
    return max((a.number for a in state.attempts), default=0) + 1


def _free_replica(state: Deployment) -> int:
    taken = {a.replica for a in state.live}
    return next(n for n in range(1, len(taken) + 2) if n not in taken)
