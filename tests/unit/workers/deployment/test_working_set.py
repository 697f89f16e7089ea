"""Which attempts leave the state: those that decide nothing, and never one whose machine may exist."""

import sys
from collections import Counter
from datetime import timedelta

import pytest

from tests.builders.events import BEGIN
from tests.builders.long_logs import ID, dry_after_a_loss, lost_replicas, wandering
from tests.builders.machines import machine
from workers.decision.next_step import Terminate, next_step
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.events import LaunchIntended, MachineCreated
from workers.deployment.log import stamp
from workers.deployment.state import fold
from workers.deployment.working_set import WorkingSet

HOUR = timedelta(hours=1)

each_seed = pytest.mark.parametrize("seed", range(16))


@pytest.fixture(scope="module")
def dry():
    """A deployment that has been dry for 30 hours."""
    return dry_after_a_loss(30 * HOUR)


@pytest.fixture
def whole(monkeypatch):
    """Folds events so that no attempt leaves."""

    def folded(events):
        with monkeypatch.context() as patched:
            patched.setattr(WorkingSet, "leave", lambda *_: [])
            return fold(ID, events)

    return folded


@each_seed
def test_no_attempt_leaves_whose_machine_may_exist_and_the_sums_are_as_if_none_had_left(seed, whole):
    log = wandering(seed)
    state, reference = fold(ID, log.events), whole(log.events)
    assert [a for a in state.attempts if a.phase in MAY_COST] == [a for a in reference.attempts if a.phase in MAY_COST]
    for later in (timedelta(0), timedelta(hours=3)):
        assert state.spent(log.now + later) == pytest.approx(reference.spent(log.now + later))
        assert state.saved(log.now + later) == reference.saved(log.now + later)
    assert state.established == reference.established
    assert state.attempts[-1:] == reference.attempts[-1:]
    assert len(state.attempts) + state.left.attempts == len(reference.attempts)


@each_seed
def test_the_next_step_is_as_if_no_attempt_had_left(seed, whole):
    log = wandering(seed)
    state, reference = fold(ID, log.events), whole(log.events)
    for later in (timedelta(0), timedelta(minutes=3), timedelta(minutes=40), timedelta(hours=5)):
        assert next_step(state, log.now + later) == next_step(reference, log.now + later)


def test_a_machine_whose_attempt_was_refused_and_has_left_is_ended_all_the_same(dry):
    log = dry
    numbers = {a.number for a in log.state.attempts}
    intended = [event.request for event in log.events if isinstance(event, LaunchIntended)]
    gone = next(request for request in intended[1:] if request.attempt not in numbers)
    made = machine(gone, created_at=log.now)
    state = fold(ID, [MachineCreated(**stamp(log.now), attempt=gone.attempt, machine=made)], onto=log.state)
    [there] = [a for a in state.attempts if a.phase in MAY_COST]
    assert (there.number, there.phase, there.machine) == (gone.attempt, Phase.SHUTTING_DOWN, made)
    step = next_step(state, log.now)
    assert isinstance(step, Terminate)
    assert (step.attempt.request.token, step.attempt.whereabouts.region) == (gone.token, gone.offers[0].region)
    assert state.attempts[-1] == log.state.attempts[-1]  # its number is not given again


def test_the_state_of_a_dry_ladder_does_not_grow_with_the_days(dry):
    log = dry
    earlier = fold(ID, [event for event in log.events if event.at < BEGIN + 15 * HOUR])
    assert len(log.state.attempts) <= len(earlier.attempts) < 500


def test_of_thousands_of_lost_replicas_the_newest_are_kept_with_the_first_that_was_ready_and_the_sums():
    log = lost_replicas(300)
    assert log.state.established
    assert log.state.attempts[0].number == 1
    assert len(log.state.attempts) + log.state.left.attempts == 300
    assert len(log.state.attempts) < 30
    assert log.state.left.rented == log.state.left.attempts


def test_a_fold_of_twice_as_many_events_calls_twice_as_many_functions(dry):
    log = dry
    half = calls(log.events[: len(log.events) // 2])
    assert calls(log.events) < 2.3 * half


def calls(events):
    """Number of Python and C functions that a fold calls."""
    counted = Counter()
    sys.setprofile(lambda _, event, __: counted.update((event,)))
    try:
        fold(ID, events)
    finally:
        sys.setprofile(None)
    return counted["call"] + counted["c_call"]


def test_the_last_answer_of_each_zone_stays(dry, whole):
    log = dry
    offers = {offer for refused in log.state.refusals for refusal in refused.refusals for offer in refusal.offers}
    assert offers == {rung.offer for rung in log.state.rungs}
    assert len(whole(log.events).refusals) > 4 * len(log.state.refusals)
