"""How many replicas a load asks for, over the minutes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recipes.schema import ReplicaPolicy
from workers.decision.autoscale import Memory, autoscale
from workers.decision.load import STALE
from workers.deployment.loads import Load

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
STEP = timedelta(seconds=10)
UP, DOWN = timedelta(minutes=5), timedelta(minutes=20)
FOLLOWING = ReplicaPolicy(min_replicas=1, max_replicas=5, target_qps_per_replica=1.0)
FROM_ZERO = ReplicaPolicy(min_replicas=0, max_replicas=5, target_qps_per_replica=1.0)
SLEEPING = ReplicaPolicy(min_replicas=0)


class Deployment:
    """Calls autoscale every ten seconds, and does what it says."""

    def __init__(self, policy, wanted=1):
        self.policy, self.wanted, self.now, self.memory = policy, wanted, NOW, Memory()
        self.last_request_at, self.said = None, []

    def under(self, rate, length=timedelta(), **fields):
        """The number after so long of a load; one call at least."""
        if rate:
            self.last_request_at = self.now
        ends = self.now + length
        while True:
            self.last_request_at = self.now if rate else self.last_request_at
            seen: dict[str, Any] = {"last_request_at": self.last_request_at} | fields
            self.see(Load(at=self.now, qps=rate, **seen))
            self.now += STEP
            if self.now > ends:
                return self.wanted

    def see(self, load):
        before = self.wanted
        self.wanted, why, self.memory = autoscale(self.policy, before, load, self.memory, self.now)
        if self.wanted != before:
            self.said.append(why)
        return self.wanted

    def unseen(self, length):
        ends = self.now + length
        while self.now < ends:
            self.see(None)
            self.now += STEP
        return self.wanted


@pytest.mark.parametrize(
    "policy",
    [
        ReplicaPolicy(min_replicas=2),
        ReplicaPolicy(min_replicas=2, target_qps_per_replica=1.0),
        ReplicaPolicy(min_replicas=3, max_replicas=3, target_qps_per_replica=1.0),
    ],
)
def test_a_policy_that_moves_nothing_leaves_a_person_s_number(policy):
    assert Deployment(policy, 4).under(100.0, DOWN, waiting=50) == 4


def test_more_replicas_come_once_the_rate_has_asked_for_them_for_the_whole_delay():
    deployment = Deployment(FOLLOWING)
    assert deployment.under(2.4, UP - STEP) == 1
    assert deployment.under(2.4, 2 * STEP) == 3
    assert deployment.said == ["2.4 requests/s, 1 replica takes 1"]


def test_a_short_peak_buys_nothing():
    deployment = Deployment(FOLLOWING)
    deployment.under(5.0, UP - STEP)
    deployment.under(0.5)
    assert deployment.under(5.0, UP - STEP) == 1


def test_up_goes_to_what_was_needed_all_the_time():
    deployment = Deployment(FOLLOWING)
    deployment.under(2.0, UP / 2)
    assert deployment.under(5.0, UP / 2 + STEP) == 2


def test_down_goes_to_the_most_that_was_needed_meanwhile():
    deployment = Deployment(FOLLOWING, 5)
    deployment.under(2.5, DOWN / 2)
    assert deployment.under(0.5, DOWN / 2 - 2 * STEP) == 5
    assert deployment.under(0.5, 2 * STEP) == 3


def test_a_rate_that_swings_about_a_border_moves_nothing():
    deployment = Deployment(FOLLOWING, 2)
    for n in range(500):
        assert deployment.under(1.9 if n % 2 else 2.1) == 2
    deployment = Deployment(FOLLOWING, 2)
    for n in range(500):
        assert deployment.under(1.1 if n % 7 == 0 else 0.9) == 2


def test_the_number_never_leaves_the_recipe_s_bounds():
    assert Deployment(FOLLOWING).under(1e9, 2 * UP) == 5
    assert Deployment(FOLLOWING, 5).under(0.0, 2 * DOWN) == 1


@pytest.mark.parametrize(
    ("wanted", "target", "why"),
    [(9, 5, "the recipe allows at most 5 replicas"), (0, 1, "the recipe requires at least 1 replica")],
)
def test_a_number_outside_of_the_bounds_is_brought_in_at_once(wanted, target, why):
    assert autoscale(FOLLOWING, wanted, None, Memory(), NOW)[:2] == (target, why)


def test_a_hair_in_the_rate_is_no_reason_for_another_replica():
    policy = ReplicaPolicy(min_replicas=1, max_replicas=20, target_qps_per_replica=0.1)
    assert Deployment(policy).under(1.1, UP) == 11


def test_requests_that_wait_in_the_engines_ask_for_one_replica_more_at_a_time():
    deployment = Deployment(FOLLOWING)
    assert deployment.under(0.5, UP, waiting=7, ready=1) == 2
    assert deployment.said == ["7 requests wait"]
    assert deployment.under(0.5, UP + STEP, waiting=7, ready=2) == 3


def test_a_queue_buys_nothing_more_while_a_replica_is_on_its_way():
    deployment = Deployment(FOLLOWING, 2)
    assert deployment.under(0.5, 3 * DOWN, waiting=7, ready=1) == 2


def test_nothing_is_ended_while_requests_wait():
    assert Deployment(FOLLOWING, 3).under(0.5, 2 * DOWN, waiting=3) == 3
    assert Deployment(FOLLOWING, 3).under(0.5, 2 * DOWN, held=1) == 3


def test_without_a_target_only_zero_and_back_happens():
    policy = ReplicaPolicy(min_replicas=0, max_replicas=5)
    deployment = Deployment(policy, 3)
    assert deployment.under(50.0, DOWN, waiting=9) == 3
    assert deployment.under(0.0, DOWN + STEP) == 0
    assert deployment.under(0.0, held=2) == 1


@pytest.mark.parametrize("policy", [SLEEPING, FROM_ZERO])
def test_no_request_for_the_delay_ends_the_last_replica(policy):
    deployment = Deployment(policy)
    deployment.under(0.1, UP)
    assert deployment.under(0.0, DOWN - 2 * STEP) == 1
    assert deployment.under(0.0, 3 * STEP) == 0
    assert deployment.said == ["no request for 20 min"]


def test_a_deployment_that_was_never_asked_has_a_whole_delay_too():
    deployment = Deployment(SLEEPING)
    assert deployment.under(0.0, DOWN - STEP) == 1
    assert deployment.under(0.0, 2 * STEP) == 0


def test_rare_requests_keep_one_replica_and_no_more():
    deployment = Deployment(FROM_ZERO, 2)
    for _ in range(10):
        deployment.under(0.02)
        deployment.under(0.0, DOWN - 2 * STEP)
    assert deployment.wanted == 1


def test_a_replica_that_starts_longer_than_the_quiet_may_last_is_not_ended_as_it_comes():
    deployment = Deployment(SLEEPING, 0)
    assert deployment.under(0.1, held=1) == 1
    assert deployment.under(0.0, 2 * DOWN, ready=0) == 1
    assert deployment.under(0.0, DOWN - 2 * STEP, ready=1) == 1
    assert deployment.under(0.0, 2 * STEP, ready=1) == 0


def test_a_stream_that_lasts_longer_than_the_quiet_is_no_quiet():
    deployment = Deployment(SLEEPING)
    deployment.under(0.1)
    assert deployment.under(0.0, 2 * DOWN, in_work=1) == 1
    assert deployment.under(0.0, DOWN - 2 * STEP) == 1
    assert deployment.under(0.0, 2 * STEP) == 0


def test_a_request_that_waits_wakes_a_sleeping_deployment_at_once():
    deployment = Deployment(FROM_ZERO, 0)
    assert deployment.under(0.0, DOWN) == 0
    assert deployment.under(0.02, held=1) == 1
    assert deployment.said == ["a request waits"]


def test_a_request_that_was_turned_away_wakes_it_too():
    deployment = Deployment(SLEEPING, 0)
    deployment.under(0.0, UP)
    assert deployment.under(0.02) == 1
    assert deployment.said == ["a request came"]


def test_a_crowd_wakes_as_many_as_it_needs():
    assert Deployment(FROM_ZERO, 0).under(3.4, held=200) == 4


def test_a_request_from_before_a_person_scaled_to_zero_does_not_wake_it():
    deployment = Deployment(SLEEPING)
    deployment.under(5.0, UP)
    deployment.wanted = 0
    for rate in (4.0, 2.0, 0.0):  # the window still holds what came before, and streams still end
        load = Load(at=deployment.now, qps=rate, last_request_at=deployment.last_request_at, in_work=3)
        assert deployment.see(load) == 0
        deployment.now += STEP


def test_an_unknown_load_changes_nothing_however_long():
    assert Deployment(FROM_ZERO, 3).unseen(5 * DOWN) == 3


def test_an_old_observation_is_an_unknown_load():
    old = Load(at=NOW - STALE - STEP, qps=9.0, held=3)
    assert autoscale(FROM_ZERO, 0, old, Memory(), NOW)[:2] == (0, "the load is not known")


@pytest.mark.parametrize("rate", [float("nan"), float("inf")])
def test_a_rate_that_is_none_is_an_unknown_load(rate):
    assert autoscale(FROM_ZERO, 2, Load(at=NOW, qps=rate), Memory(), NOW)[0] == 2


def test_a_time_without_observations_counts_towards_no_delay():
    deployment = Deployment(FROM_ZERO, 3)
    deployment.under(2.5, UP)
    deployment.unseen(2 * DOWN)
    assert deployment.under(0.0, DOWN - 2 * STEP, last_request_at=None) == 3
    deployment = Deployment(FOLLOWING)
    deployment.under(5.0, UP / 2)
    deployment.now += UP
    assert deployment.under(5.0, UP - STEP) == 1


def test_an_observation_that_is_told_again_and_again_is_one():
    deployment = Deployment(FOLLOWING)
    deployment.under(5.0, UP - 3 * STEP)
    load = Load(at=deployment.now, qps=5.0)
    for _ in range(3):
        assert deployment.see(load) == 1
        deployment.now += STEP


def test_a_person_s_number_starts_every_delay_anew():
    deployment = Deployment(FOLLOWING, 3)
    deployment.under(0.5, DOWN - STEP)
    deployment.wanted = 4
    assert deployment.under(0.5, DOWN - STEP) == 4
    assert deployment.under(0.5, 2 * STEP) == 1


def test_a_lost_memory_costs_a_delay_only():
    deployment = Deployment(FOLLOWING)
    deployment.under(3.0, UP - STEP)
    deployment.memory = Memory()
    assert deployment.under(3.0, UP - STEP) == 1
    assert deployment.under(3.0, 2 * STEP) == 3


def test_steady_requests_are_no_quiet_however_short_the_delay():
    deployment = Deployment(ReplicaPolicy(min_replicas=0, downscale_delay=timedelta()), 0)
    assert deployment.under(1.0) == 0
    for _ in range(20):
        assert deployment.under(1.0, last_request_at=deployment.now - timedelta(seconds=1)) == 1
    assert deployment.under(0.0) == 0


def test_a_delay_of_nothing_acts_at_once():
    policy = ReplicaPolicy(
        min_replicas=1,
        max_replicas=5,
        target_qps_per_replica=1.0,
        upscale_delay=timedelta(),
        downscale_delay=timedelta(),
    )
    deployment = Deployment(policy)
    assert deployment.under(3.0) == 3
    assert deployment.under(1.0) == 1


@pytest.mark.parametrize("back", [timedelta(hours=2), timedelta(hours=30)])
def test_a_clock_that_is_set_back_costs_a_delay_only(back):
    quiet = Deployment(FROM_ZERO, 2)
    quiet.under(1.5, UP)
    quiet.now -= back
    quiet.last_request_at = None  # the gateway forgets what came later than now
    quiet.under(0.0, 2 * DOWN + 4 * STEP)
    assert quiet.wanted == 0
    busy = Deployment(FOLLOWING)
    busy.under(5.0, UP / 2)
    busy.now -= back
    assert busy.under(5.0, UP + 2 * STEP) == 5
    asleep = Deployment(SLEEPING, 0)
    asleep.under(0.0)
    asleep.now -= back
    asleep.under(0.0)
    assert asleep.under(0.1, STEP) == 1
