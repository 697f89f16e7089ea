"""The clock is set back or forward while something waits: on a real Valkey, with a cloud whose own clock goes on."""

import random
from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.contract.test_control_loop import Loop
from tests.fakes import gateway
from tests.fakes.driver import FakeDriver
from workers.decision.retry_policy import BOOTS_WITHIN, MAX_DRAIN, NOT_READY_FOR, UNANSWERED_FOR
from workers.deployment.attempt import KEPT, Phase
from workers.serving.unready import Unready

ROUND = timedelta(seconds=10)
NOTICED = 6 * ROUND
"""Time that a nudge and the answers of a sweep may take in addition."""

AHEAD = [timedelta(minutes=20), timedelta(hours=2), timedelta(hours=30)]
"""By how much the clock is ahead of the cloud's, until it is set right."""


class Cloud(FakeDriver):
    """Each machine has an address of its own."""

    def _made(self, request):
        return replace(super()._made(request), address=f"http://{request.token}.invalid:8000")


class WrongClock(Loop):
    """On a clock that is ahead of the cloud's."""

    def __init__(self, redis, monkeypatch, ahead):
        super().__init__(redis, monkeypatch)
        self.off = ahead
        self.cloud = self.drivers["fake"] = Cloud("fake", clock=lambda: self.now - self.off)
        self.restart()


@pytest.fixture(params=AHEAD, ids=str)
def loop(request, redis, monkeypatch):
    return WrongClock(redis, monkeypatch, request.param)


def step(loop, by):
    """The clock of the installation jumps."""
    loop.now, loop.off = loop.now + by, loop.off + by


def fails(loop, id_, why="status 500"):
    """The probe of the first attempt fails from now on."""
    loop.probes[loop.state(id_).attempts[0].machine.address] = Unready(why=why)


def lasts(loop, id_, phase, most):
    """Rounds until the first attempt is in another phase, in time. Fails after `most`."""
    passed = timedelta()
    while loop.state(id_).attempts[0].phase is phase:
        assert passed <= most
        loop.nudged.append(id_)
        loop.settle(1)
        passed += ROUND
    return passed


def served(loop, replicas=1):
    id_ = loop.launch(replicas=replicas)
    loop.settle()
    gateway.route(loop.log, loop.state(id_), loop.now)
    loop.settle(2)
    assert len(loop.state(id_).ready) == replicas
    return id_


def test_a_replica_that_fails_its_probe_is_replaced_in_time_although_the_clock_is_set_back(loop):
    id_ = served(loop)
    fails(loop, id_)
    lasts(loop, id_, Phase.READY, timedelta(minutes=1))
    loop.settle(5)
    step(loop, -loop.off)
    assert lasts(loop, id_, Phase.NOT_READY, NOT_READY_FOR + NOTICED) >= NOT_READY_FOR - NOTICED
    assert len(loop.cloud.bought) == 2


def test_a_replica_that_answers_again_after_the_clock_was_set_back_is_kept(loop):
    id_ = served(loop)
    fails(loop, id_)
    lasts(loop, id_, Phase.READY, timedelta(minutes=1))
    step(loop, -loop.off)
    loop.settle(3)
    loop.probes.clear()
    loop.settle(30)
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]


def test_a_replica_whose_requests_do_not_end_drains_no_longer_although_the_clock_is_set_back(loop):
    id_ = served(loop)
    loop.requests.scale(id_, 0, by="U")
    lasts(loop, id_, Phase.READY, timedelta(minutes=1))
    step(loop, -loop.off)
    assert lasts(loop, id_, Phase.DRAINING, MAX_DRAIN + NOTICED) >= MAX_DRAIN - NOTICED, "its requests have this time"
    assert loop.cloud.running() == []


def test_a_machine_whose_boot_hangs_is_given_up_in_time_although_the_clock_is_set_back(loop):
    id_ = loop.launch()
    loop.advance(id_)
    fails(loop, id_, "connection refused")
    loop.settle(3)
    step(loop, -loop.off)
    limit = BOOTS_WITHIN + loop.state(id_).attempts[0].request.boot.initial_delay
    assert lasts(loop, id_, Phase.STARTING, limit + NOTICED) >= limit - NOTICED
    assert len(loop.cloud.bought) <= 2


def test_a_request_that_fails_is_given_up_in_time_although_the_clock_is_set_back(loop):
    loop.cloud.unreachable = True
    id_ = loop.launch()
    loop.settle(1)
    step(loop, -loop.off)
    lasts(loop, id_, Phase.PROVISIONING, UNANSWERED_FOR + NOTICED)


def test_a_clock_that_is_set_back_between_a_purchase_and_its_answer_costs_no_machine(loop):
    loop.cloud.lose_answers = True
    id_ = loop.launch()
    loop.settle(1)
    assert len(loop.cloud.bought) == 1
    step(loop, -loop.off)
    loop.settle(2)
    loop.cloud.lose_answers = False
    loop.settle(6)
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]
    assert len(loop.cloud.bought) == 1


@pytest.mark.parametrize("seed", range(2))
def test_over_steps_of_the_clock_nothing_waits_longer_and_no_machine_ends_that_answers(loop, seed):
    chance = random.Random(seed)
    id_, other = served(loop), loop.launch("other")
    loop.settle()
    fails(loop, id_)
    lasts(loop, id_, Phase.READY, timedelta(minutes=1))
    for _ in range(5):
        loop.settle(chance.randrange(1, 4))
        step(loop, -timedelta(seconds=chance.randrange(4 * 3600)))
    lasts(loop, id_, Phase.NOT_READY, NOT_READY_FOR + NOTICED)
    for _ in range(5):
        step(loop, timedelta(seconds=chance.randrange(-2 * 3600, 2 * 3600)))
        loop.settle(chance.randrange(1, 6))
    loop.settle(6)
    assert [a.phase for a in loop.state(other).attempts] == [Phase.READY]
    assert [a.phase for a in loop.state(id_).attempts if a.phase in KEPT] == [Phase.READY]
    assert len(loop.cloud.bought) == 3
