"""Launch calls without an answer, and several at once, on a virtual clock, with a real Valkey and a cloud in memory."""

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes.driver import FakeDriver
from tests.fakes.unhurried import unhurried
from tests.fakes.virtual_calls import NEVER, VirtualCalls, VirtualTime
from workers.api import Deployments
from workers.clouds.driver import DriverError, NoAnswer, Refused
from workers.control.advance import Advance
from workers.control.sweeper import Sweeper
from workers.decision.retry_policy import paused_until
from workers.decision.silence import MAX_AT_ONCE
from workers.deployment.attempt import Phase
from workers.deployment.events import LaunchIntended, MachineCreated, OfferRefused, ReplicaReady
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log, decode, stamp
from workers.deployment.orphans import Orphans
from workers.machines import Token
from workers.placement.limits import Limits
from workers.placement.refusals import Scope
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

EAST, WEST, NORTH = (offer(f"fake {zone}-1", price, gpu="") for zone, price in (("east", 2), ("west", 3), ("north", 5)))
QUICK = (timedelta(seconds=1), timedelta(seconds=2))
SILENT = (NEVER, NEVER)
LOST = (timedelta(seconds=5), NEVER)
FULL = Refused("The zone is full.", code="Full", scope=Scope.ZONE)


class Launch:
    """One deployment, and workers whose calls have the fates that a test gives them, by attempt."""

    def __init__(self, redis, *, replicas=1, fates=None, offers=(EAST, WEST, NORTH), ceiling=None, cloud=FakeDriver):
        self.time, self.redis = VirtualTime(), redis
        self.cloud = cloud("fake", clock=self.time)
        self.fates = fates or {}
        self.log = Log(redis)
        self.most_open = 0
        self.requests = Deployments(redis, lambda _: None, {"fake": self.cloud})
        self.id = self.requests.launch(
            SCRIPTED, name="m", replicas=replicas, place=PLACE, limits=Limits(), once="m", ceiling=ceiling
        )
        self.offers = offers
        self.advance = self.worker(self)
        self._calls = VirtualCalls(self.time, lambda attempt: self.fates.get(attempt, QUICK))

    def worker(self, calls):
        return Advance(
            redis=self.redis,
            log=self.log,
            drivers={"fake": self.cloud, "local": self.cloud},
            ladder=lambda *_: (ladder(*self.offers), ""),
            environ={},
            installation="i-1",
            machine_lease=timedelta(hours=24),
            control_lease=timedelta(seconds=10),
            clock=self.time,
            calls=lambda: calls,
        )

    # the calls of the worker: counted, and compared with the log

    def ask(self, attempt, call):
        assert attempt in {a.number for a in self.state.attempts}, "a call without its intent"
        self._calls.ask(attempt, call)
        self.most_open = max(self.most_open, len(self._calls.ages()))

    def ages(self):
        return self._calls.ages()

    def answered(self):
        return self._calls.answered()

    # what tests look at

    def work(self, *, times=1):
        """One job, or several with the pauses of the sweeper."""
        for _ in range(times):
            try:
                self.advance(self.id)
            except DriverError:
                self.time.pass_until(self.time.now + timedelta(seconds=5))

    def after(self, seconds, do):
        self.time.at(self.time.now + timedelta(seconds=seconds), do)

    @property
    def state(self):
        return self.requests.by_id(self.id)

    @property
    def events(self):
        return self.log.read(self.id)

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def phases(self):
        return {a.number: a.phase for a in self.state.attempts}

    def ready(self, number):
        """The probe of an attempt's replica passes."""
        event = ReplicaReady(**stamp(self.time.now), attempt=number, address="http://fake.invalid:8000")
        self.log.record(self.id, self.state.version, [event])


def test_a_call_that_is_silent_for_ever_ends_on_the_next_rung_within_20_seconds(redis):
    launch = Launch(redis, fates={1: SILENT})
    launch.work(times=4)
    first, second = launch.told(LaunchIntended)
    assert (second.beside, second.request.replica) == (1, first.request.replica)
    assert second.request.offers == (WEST,)
    (made,) = launch.told(MachineCreated)
    assert made.at - first.at <= timedelta(seconds=20)
    assert launch.phases() == {1: Phase.ENDED, 2: Phase.STARTING}
    assert len(launch.cloud.running()) == 1
    assert not Ledger(redis).book().reserved


def test_of_two_machines_the_dearer_one_is_ended_at_once(redis):
    launch = Launch(redis, fates={1: (timedelta(seconds=39), timedelta(seconds=40))})
    launch.work()
    assert launch.phases() == {1: Phase.STARTING, 2: Phase.ENDED}
    assert [launch.cloud.requests[token].offers for token in launch.cloud.running()] == [(EAST,)]
    assert "its cloud answered late" not in launch.state.attempts[0].why
    late = next(event for event in launch.told(MachineCreated) if event.attempt == 1)
    assert launch.state.attempts[1].gone_at - late.at <= timedelta(seconds=5)


def test_a_machine_that_comes_late_is_ended_if_the_dearer_one_is_ready_already(redis):
    launch = Launch(redis, fates={1: (timedelta(seconds=30), timedelta(seconds=40))})
    launch.after(35, lambda: launch.ready(2))
    launch.work()
    assert launch.phases() == {1: Phase.ENDED, 2: Phase.READY}


def test_a_lost_answer_is_looked_for_by_its_token_booked_and_ended(redis):
    launch = Launch(redis, fates={1: LOST})
    launch.work(times=3)
    assert launch.phases() == {1: Phase.ENDED, 2: Phase.STARTING}
    assert {event.attempt for event in launch.told(MachineCreated)} == {1, 2}
    assert len(launch.cloud.running()) == 1


def test_a_worker_that_dies_leaves_the_silent_intent_in_the_log(redis):
    launch = Launch(redis, fates={1: LOST, 2: LOST})

    class Died(BaseException):
        pass

    def die():
        raise Died

    launch.after(20, die)
    with pytest.raises(Died):
        launch.work()
    assert launch.phases() == {1: Phase.PROVISIONING, 2: Phase.PROVISIONING}
    launch.redis.delete(f"mixtral:lease:d:{launch.id}")
    launch._calls = VirtualCalls(launch.time, lambda _: QUICK)
    launch.work(times=3)
    assert len(launch.cloud.running()) == 1
    assert sorted(launch.phases().values()) == [Phase.ENDED, Phase.STARTING]
    assert set(launch.cloud.bought) == {a.request.token for a in launch.state.attempts}


def test_the_ceiling_holds_for_both_and_the_silent_one_gives_its_place_up_after_a_minute(redis):
    launch = Launch(redis, fates={1: SILENT}, ceiling=Decimal("4.50"))
    launch.work()
    assert launch.phases() == {1: Phase.SHUTTING_DOWN, 2: Phase.STARTING}
    first, second = launch.told(LaunchIntended)
    assert timedelta(seconds=60) <= second.at - first.at <= timedelta(seconds=66)
    launch.work(times=2)
    assert launch.phases() == {1: Phase.ENDED, 2: Phase.STARTING}


def test_a_silent_cloud_that_is_the_only_one_is_asked_again(redis):
    launch = Launch(redis, fates={1: SILENT}, offers=(EAST,))
    launch.work()
    assert launch.phases() == {1: Phase.PROVISIONING}
    launch.fates = {}
    launch.work()
    assert launch.phases() == {1: Phase.STARTING}


def test_a_local_machine_that_starts_slowly_makes_no_cloud_dearer(redis):
    local = offer("local here", "0", gpu="")
    launch = Launch(redis, fates={1: (timedelta(seconds=40), timedelta(seconds=50))}, offers=(local, EAST))
    launch.work()
    assert launch.phases() == {1: Phase.STARTING}


def test_a_stop_while_a_call_is_open_ends_the_machine_that_comes_of_it(redis):
    launch = Launch(redis, fates={1: (timedelta(seconds=8), timedelta(seconds=10))})
    launch.after(3, lambda: launch.requests.stop(launch.id, by="U"))
    launch.work()
    assert launch.state.ended is not None
    assert launch.cloud.bought
    assert launch.cloud.running() == []


def test_replicas_are_requested_at_once_each_with_its_intent_before_its_call(redis):
    launch = Launch(redis, replicas=4)
    launch.work()
    assert launch.most_open == 4
    assert len(launch.cloud.running()) == 4
    first, *_, last = launch.told(MachineCreated)
    assert last.at - first.at <= timedelta(seconds=1)


def test_no_more_than_a_bound_are_requested_at_once(redis):
    launch = Launch(redis, replicas=MAX_AT_ONCE + 5)
    launch.work()
    assert launch.most_open == MAX_AT_ONCE
    assert len(launch.cloud.running()) == MAX_AT_ONCE + 5


def test_the_ceiling_holds_for_the_sum_of_what_is_requested_at_once(redis):
    launch = Launch(redis, replicas=4, ceiling=Decimal("6.50"))
    launch.work()
    assert launch.most_open == 3
    assert len(launch.cloud.running()) == 3


def test_after_a_refusal_one_replica_climbs_for_all(redis):
    launch = Launch(redis, replicas=4)
    launch.cloud.refuse = lambda one: FULL if one.zone != NORTH.zone else None
    launch.work()
    assert len(launch.cloud.running()) == 4
    refused = launch.told(OfferRefused)
    assert [event.refusals[0].offers for event in refused].count((WEST,)) == 1
    assert len(refused) == 4 + 1


def test_calls_that_are_throttled_together_count_as_one(redis):
    throttled = Refused("Too many calls.", code="RequestLimitExceeded", scope=Scope.BACK_OFF)
    launch = Launch(redis, replicas=4)
    launch.cloud.refuse = lambda _: throttled
    launch.work()
    assert len(launch.told(OfferRefused)) == 4
    pause = paused_until(launch.state, launch.time.now) - launch.time.now
    assert pause <= timedelta(minutes=5)


class SilentEast(FakeDriver):
    """Answers no question about EAST either, until it does again."""

    silent = True

    def find(self, token, known=None):
        if self.silent and known.region == EAST.region:
            raise NoAnswer("east gives no answer.")
        return super().find(token, known)


def test_a_launch_does_not_end_before_it_is_known_whether_a_lost_call_made_a_machine(redis):
    launch = Launch(redis, fates={1: LOST}, cloud=SilentEast)
    launch.after(10, lambda: setattr(launch.cloud, "refuse", lambda _: FULL))
    launch.work(times=3)
    for _ in range(3):
        launch.time.pass_until(launch.time.now + timedelta(minutes=31))
        launch.work(times=3)
    assert launch.phases()[1] is Phase.SHUTTING_DOWN
    assert launch.state.ended is None, "nobody would look for the machine, nor release its reservation"
    launch.cloud.silent = False
    launch.work(times=2)
    assert launch.state.ended is not None
    assert launch.cloud.bought
    assert launch.cloud.running() == []
    assert not Ledger(redis).book().reserved


def test_a_budget_for_one_machine_does_not_wait_half_an_hour_for_a_silent_call(redis):
    limits = (Budget(scope=BudgetScope.INSTALLATION, day=Decimal("3.50")),)
    StoredPolicy(redis).put(Policy(budgets=BudgetPolicy(limits=limits)))
    launch = Launch(redis, fates={1: SILENT})
    launch.work(times=8)
    assert launch.phases() == {1: Phase.ENDED, 2: Phase.STARTING}
    first, second = launch.told(LaunchIntended)
    assert timedelta(seconds=60) <= second.at - first.at <= timedelta(minutes=4)
    assert not Ledger(redis).book().reserved


def test_a_silent_call_is_not_given_up_for_an_offer_that_its_reservation_would_not_pay(redis):
    limits = (Budget(scope=BudgetScope.INSTALLATION, day=Decimal("2.50")),)
    StoredPolicy(redis).put(Policy(budgets=BudgetPolicy(limits=limits)))
    launch = Launch(redis, fates={1: SILENT})
    launch.work(times=8)
    assert launch.phases() == {1: Phase.PROVISIONING}


def test_a_budget_that_an_unknown_machine_uses_up_does_not_end_the_launch_at_once(redis):
    limits = (Budget(scope=BudgetScope.INSTALLATION, day=Decimal("4.50")),)
    StoredPolicy(redis).put(Policy(budgets=BudgetPolicy(limits=limits)))
    launch = Launch(redis, fates={1: SILENT}, ceiling=Decimal("4.50"), cloud=SilentEast)
    launch.work(times=3)
    assert launch.phases()[1] is Phase.SHUTTING_DOWN
    assert launch.state.ended is None
    assert "reserved" in launch.state.exhausted.why
    launch.cloud.silent = False
    launch.work(times=2)
    assert not Ledger(redis).book().reserved


class Failing(FakeDriver):
    """Each call for a machine in EAST fails at once, with an unknown effect."""

    def create(self, request, secrets):
        if request.offers[0] == EAST:
            raise NoAnswer("east gives no answer.")
        return super().create(request, secrets)


@pytest.mark.parametrize("hours", [0.3, 2, 30])
def test_a_clock_that_is_set_back_does_not_delay_the_next_offer_beside_a_call_that_fails(redis, hours):
    launch = Launch(redis, cloud=Failing)
    launch.work()
    launch.time.now -= timedelta(hours=hours)
    back = launch.time.now
    launch.work(times=8)
    assert launch.phases()[2] is Phase.STARTING
    assert launch.told(LaunchIntended)[1].at - back <= timedelta(minutes=1)


def intended_again(launch):
    """Redis fails over to a replica without the newest intent and the lease; another worker intends it anew."""
    key = f"mixtral:d:{launch.id}"
    *entries, (_, newest) = launch.redis.xrange(key)
    launch.redis.delete(key, f"mixtral:lease:d:{launch.id}")
    for number, fields in entries:
        launch.redis.xadd(key, fields, id=number)
    again = replace(decode(newest[b"e"]).request, token=Token(f"{launch.id}-1-again"))
    intended = LaunchIntended(**stamp(launch.time.now), request=again)
    assert launch.log.append(launch.id, launch.state.version, [intended])


def orphans(launch):
    """What a sweep finds that is in no log."""
    sweeper = Sweeper(
        redis=launch.redis,
        log=launch.log,
        drivers={"fake": launch.cloud},
        nudge=lambda _: None,
        installation="i-1",
        environ={},
        machine_lease=timedelta(hours=24),
        control_lease=timedelta(seconds=10),
        every=timedelta(seconds=1),
        clock=launch.time,
    )
    for _ in range(3):
        sweeper.sweep()
        launch.time.now += timedelta(seconds=10)
    return [orphan.id for orphan in Orphans(launch.redis).running(launch.time.now)]


@pytest.mark.parametrize("first", ["the lost call", "the other worker"])
def test_the_answer_of_a_call_whose_intent_is_lost_takes_no_other_attempt(redis, first, monkeypatch):
    unhurried(monkeypatch)
    launch = Launch(redis, fates={1: (timedelta(seconds=1), timedelta(seconds=10))})
    other = launch.worker(VirtualCalls(launch.time, lambda _: QUICK))
    launch.after(5, lambda: intended_again(launch))
    if first == "the other worker":
        launch.after(6, lambda: other(launch.id))
    launch.work()
    lost, *_ = launch.cloud.bought
    assert launch.phases() == {1: Phase.STARTING if first == "the other worker" else Phase.PROVISIONING}
    other(launch.id)
    assert launch.phases() == {1: Phase.STARTING}
    assert launch.state.attempts[0].machine.token == f"{launch.id}-1-again"
    assert len(launch.cloud.running()) == 2
    (use,) = Ledger(redis).book().uses.values()
    assert use.booked.machine == launch.state.attempts[0].machine.id
    assert orphans(launch) == [f"fake-{lost}"]


def test_the_refusal_of_a_call_whose_intent_is_lost_refuses_no_other_attempt(redis):
    launch = Launch(redis, fates={1: (timedelta(seconds=10), timedelta(seconds=10))})
    other = launch.worker(VirtualCalls(launch.time, lambda _: QUICK))
    launch.after(5, lambda: intended_again(launch))
    launch.after(6, lambda: setattr(launch.cloud, "refuse", lambda _: FULL))
    launch.work()
    launch.cloud.refuse = lambda _: None
    assert launch.phases() == {1: Phase.PROVISIONING}
    other(launch.id)
    assert launch.phases() == {1: Phase.STARTING}


def test_a_log_that_is_lost_while_a_call_is_open_ends_the_job(redis):
    launch = Launch(redis, fates={1: (timedelta(seconds=1), timedelta(seconds=10))})
    launch.after(5, lambda: redis.delete(f"mixtral:d:{launch.id}"))
    launch.work()
    assert launch.events == []
    assert len(launch.cloud.bought) == 1
