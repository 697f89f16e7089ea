"""Decisions for deployments of spot and on-demand replicas."""

from datetime import timedelta

from msgspec.structs import replace

from tests.builders.attempts import attempt, refused
from tests.builders.events import BEGIN
from tests.builders.offers import offer, spot_offer
from tests.builders.recipes import scaled_by
from tests.builders.story import Story
from workers.decision.next_step import Exhaust, Keep, LaunchReplica, PlanLadder, Wait, next_step
from workers.deployment.attempt import Phase
from workers.deployment.events import EventId, LadderExhausted
from workers.placement.limits import Limits

A, B, DEMAND = spot_offer("r-a", 4), spot_offer("r-b", 5), offer("r-a", 12)


def state(*attempts, wanted=1, rungs=(A, B, DEMAND), exhausted=None, **policy):
    story = Story("m", scaled_by(**policy), id_="d-1", replicas=wanted, limits=Limits(spot=True))
    gave_up = None if exhausted is None else LadderExhausted(event_id=EventId("x"), at=exhausted, why="dry")
    served = story.planned(*rungs).tested().state
    return replace(served, attempts=attempts, exhausted=gave_up, dry_in_a_row=int(gave_up is not None))


def launched(step):
    assert isinstance(step, LaunchReplica)
    return step.offers


def test_a_base_replica_comes_first_and_spot_is_not_held_up_where_on_demand_is_dry():
    assert launched(next_step(state(base_ondemand_fallback_replicas=1, wanted=2), BEGIN)) == (DEMAND,)
    dry = refused(1, [DEMAND])
    assert launched(next_step(state(dry, base_ondemand_fallback_replicas=1, wanted=2), BEGIN)) == (A,)


def test_a_stand_in_is_bought_relieved_and_taken_back():
    dry = [refused(1, [A]), refused(2, [B])]
    policy = {"dynamic_ondemand_fallback": True}
    assert launched(next_step(state(*dry, **policy), BEGIN)) == (DEMAND,)
    held = [*dry, attempt(3, DEMAND)]
    assert isinstance(next_step(state(*held, **policy), BEGIN + timedelta(minutes=9)), Wait)
    assert launched(next_step(state(*held, **policy), BEGIN + timedelta(minutes=10))) == (A,)
    both = [*held, attempt(4, A)]
    relieved = next_step(replace(state(*both, **policy), endpoint=None), BEGIN)
    assert relieved.attempt == 3
    assert "spot" in relieved.why
    back = [*dry, attempt(3, DEMAND, Phase.DRAINING), attempt(4, A, Phase.PREEMPTED)]
    assert next_step(state(*back, **policy), BEGIN) == Keep(3)


def test_a_spare_that_cannot_be_had_is_not_told():
    held = [attempt(1, A), refused(2, [A]), refused(3, [B])]
    assert isinstance(next_step(state(*held, num_overprovision=1), BEGIN), Wait)


def test_a_spare_that_crashes_again_and_again_does_not_stop_the_healing_of_the_others():
    crashed = [attempt(n, A, Phase.FAILED) for n in range(2, 8)]
    again = BEGIN + timedelta(hours=6)
    crashing = state(attempt(1, A), *crashed, num_overprovision=1)
    assert next_step(crashing, again - timedelta(seconds=1)) == Wait(until=again)
    assert next_step(crashing, again) == PlanLadder()


def test_a_preempted_replica_does_not_wait_for_a_base_replica_that_is_dry():
    held = [refused(1, [DEMAND]), attempt(2, B)]
    policy = {"base_ondemand_fallback_replicas": 1, "wanted": 3, "exhausted": BEGIN}
    soon = BEGIN + timedelta(seconds=10)
    before = attempt(3, A, Phase.PREEMPTED, at=BEGIN - timedelta(minutes=1))
    assert isinstance(next_step(state(*held, before, **policy), soon), Wait)
    after = attempt(3, A, Phase.PREEMPTED, at=BEGIN + timedelta(seconds=5))
    assert next_step(state(*held, after, **policy), soon) == PlanLadder()


def test_a_ladder_without_the_lifecycle_that_is_missing_is_told_in_words():
    step = next_step(state(attempt(1, A), wanted=2, rungs=(A,), base_ondemand_fallback_replicas=1), BEGIN)
    assert isinstance(step, Exhaust)
    assert "an on-demand replica" in step.why
