"""PURE: what to do next for a deployment: a decision over its state, the time and the ladder."""

from collections.abc import Container
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from workers.decision.choice import launchable, why_dry
from workers.decision.mix import Lack, Mix, draining_for, lacks, mix_of, relieved, surplus
from workers.decision.retry_policy import (
    ASKED_FOR,
    CRASHES_MOST,
    SPARE_AFTER_CRASHES,
    START_TRIES,
    dry_until,
    failures_in_a_row,
    hopeless,
    next_deadline,
    paused_until,
    rounds,
    too_many_unended,
)
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.events import Failure
from workers.deployment.state import Deployment
from workers.placement.offer import Offer

PLAN_AGES = timedelta(minutes=10)
"""After so long, prices and clouds are looked at again before a machine is bought."""


class PlanLadder(Struct, frozen=True):
    """Look at clouds and prices, and write the ladder down."""


class LaunchReplica(Struct, frozen=True):
    """Intend a machine on one of these offers."""

    attempt: int
    replica: int
    offers: tuple[Offer, ...]


class Create(Struct, frozen=True):
    """Ask the cloud for the machine of an intent, or find it if it was asked for already."""

    attempt: Attempt


class Drain(Struct, frozen=True):
    """Decide the end of a replica that may still be answering."""

    attempt: int
    why: str


class Keep(Struct, frozen=True):
    """Take a replica that is draining back."""

    attempt: int


class GiveUp(Struct, frozen=True):
    """Decide the end of a replica."""

    attempt: int
    why: str
    failure: Failure | None = None


class Abandon(Struct, frozen=True):
    """Say that no further replica is tried, since they crash."""

    why: str


class Terminate(Struct, frozen=True):
    """End the machine of a replica that was given up."""

    attempt: Attempt


class Test(Struct, frozen=True):
    """Have the model finish a sentence through the endpoint."""

    url: str


class Exhaust(Struct, frozen=True):
    """Say that no rung is left for now."""

    why: str


class EndDeployment(Struct, frozen=True):
    """Close the deployment: nothing of it is left."""

    failed: str | None = None


class Wait(Struct, frozen=True):
    """Nothing to do before something is observed, or before `until`."""

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
    | EndDeployment
    | Wait
)


def next_step(state: Deployment, now: datetime, silent: Container[int] = ()) -> Step:
    """The one thing to do now. Ends and facts come first, then what is missing, then what people wait for.

    `silent`: numbers of the attempts whose cloud has just given no answer; the others have their turn meanwhile.
    """
    for attempt in state.attempts:
        if attempt.phase is Phase.SHUTTING_DOWN and attempt.number not in silent:
            return Terminate(attempt)
    if state.ended:
        return Wait()
    if state.stopped_by is not None:
        gone = all(a.phase is not Phase.SHUTTING_DOWN for a in state.attempts)
        return EndDeployment() if gone else Wait()
    mix = mix_of(state.recipe, spot=state.limits.spot)
    lacking = lacks(mix, state.wanted, state.attempts)
    if step := _surplus(state, mix) or _kept(state, lacking):
        return step
    for attempt in state.attempts:
        if attempt.phase is Phase.PROVISIONING and now < attempt.since + ASKED_FOR:
            if attempt.number in silent:
                continue
            return Create(attempt)
        if lost := hopeless(attempt, now):
            why, failure = lost
            return GiveUp(attempt.number, why, failure=failure)
    if state.ready and state.endpoint is not None and state.test is None:
        return Test(state.endpoint.url)  # people wait for the first answer more than for further replicas
    step = _missing(state, lacking, now) if lacking and state.abandoned is None else None
    return step or Wait(until=next_deadline(state))


def _surplus(state: Deployment, mix: Mix) -> Step | None:
    """End a replica where there are too many; one that may be answering is drained first."""
    over = surplus(mix, state.wanted, state.attempts)
    if over is None:
        return None
    why = "a spot replica took its place" if relieved(mix, state.wanted, state.attempts, over) else "scaled down"
    serves = over.phase in (Phase.READY, Phase.NOT_READY) and state.endpoint is not None
    return Drain(over.number, why) if serves else GiveUp(over.number, why)


def _kept(state: Deployment, lacking: tuple[Lack, ...]) -> Step | None:
    """A replica that drains is cheaper and sooner there than a new one."""
    found = next((a for lack in lacking if (a := draining_for(lack, state.attempts))), None)
    return Keep(found.number) if found else None


def _missing(state: Deployment, lacking: tuple[Lack, ...], now: datetime) -> Step | None:
    spare = lacking == (Lack.SPARE,)
    if too_many_unended(state):
        return None
    if crashed := _crash_loop(state):
        if not spare:
            return crashed
        if now < (again := failures_in_a_row(state)[-1].since + SPARE_AFTER_CRASHES):
            return Wait(until=again)  # nobody waits for it
    if not (state.live or state.established) and (step := _dry(state, now)):
        return step
    if pause := paused_until(state, now):
        return Wait(until=pause)
    offers = launchable(state, lacking, now)
    if spare and not offers:
        return None
    if state.planned_at is None or state.exhausted is not None or now - state.planned_at > PLAN_AGES:
        return PlanLadder()
    if offers:
        number = max((a.number for a in state.attempts), default=0) + 1
        return LaunchReplica(attempt=number, replica=_free_replica(state), offers=offers)
    why = why_dry(state, lacking[0], now)
    if not (state.live or state.established or state.refusals):
        return EndDeployment(failed=why)  # asking again changes nothing until somebody mends something
    return Exhaust(why)


def _crash_loop(state: Deployment) -> Step | None:
    """Give up what never started, or what crashes again and again."""
    failures = failures_in_a_row(state)
    if not failures:
        return None
    times, last = rounds(failures), failures[-1]
    if not state.established and times >= START_TRIES:
        if state.live:
            return Wait(until=next_deadline(state))  # what was bought with them may still start
        return EndDeployment(failed=f"The engine failed to start {times} times in a row. The last time: {last.why}.")
    if times < CRASHES_MOST:
        return None
    return Abandon(f"Replicas failed {times} times in a row, so no further one is tried. The last time: {last.why}.")


def _dry(state: Deployment, now: datetime) -> Step | None:
    """A ladder on which all was refused is climbed again where somebody asked for that, or ended after a while."""
    until = dry_until(state)
    if state.exhausted is None or until is None:
        return None
    if now < until:
        return Wait(until=until)
    again = state.keep_trying is not None and now < state.keep_trying.until
    return None if again else EndDeployment(failed=state.exhausted.why)


def _free_replica(state: Deployment) -> int:
    taken = {a.replica for a in state.live}
    return next(n for n in range(1, len(taken) + 2) if n not in taken)
