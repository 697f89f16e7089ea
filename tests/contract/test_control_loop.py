"""Advance and sweeper on a real Valkey and a cloud in memory: what goes wrong with one holds up nobody else."""

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace
from redis.exceptions import RedisError

from recipes.schema import Engine, ReplicaPolicy, Service
from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes import gateway
from tests.fakes.driver import FakeDriver
from tests.fakes.hub import FakeHub
from tests.fakes.probes import told
from tests.fakes.unhurried import unhurried
from workers.api import Deployments
from workers.clouds.driver import Driver, DriverError
from workers.control.advance import Advance
from workers.control.recording import Recorder
from workers.control.sweeper import LEDGER_EVERY, Sweeper
from workers.decision.ceiling import raised
from workers.decision.retry_policy import BOOTS_WITHIN
from workers.deployment.attempt import Phase
from workers.deployment.condition import DeploymentStatus, condition_of
from workers.deployment.events import (
    EndAnnounced,
    EngineEnded,
    EngineProgressed,
    EventId,
    Failure,
    IdleNoticed,
    KeyNotEnforced,
    LadderPlanned,
    MachineCreated,
    MachineGone,
    ReplicaNotReady,
    ReplicaReady,
    WeightsChecked,
)
from workers.deployment.idle_times import IDLE
from workers.deployment.ledger import LEDGER, TOKENS
from workers.deployment.ledger_reader import Ledger
from workers.deployment.loads import Load, Loads, ReplicaLoad
from workers.deployment.log import Log
from workers.deployment.token_counts import Tokens
from workers.machines import BootPhase, Listing, MachineEnd, Presence
from workers.placement.limits import Limits
from workers.placement.offer import CloudStatus
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope, Then
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy
from workers.serving.console import again, line, mark_of, no_more
from workers.serving.probe import TestAnswer
from workers.serving.unready import Unready, another_key

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEASE = timedelta(hours=24)


class Loop:
    """Everything that keeps deployments, in one thread and on a clock that tests move."""

    def __init__(self, redis, monkeypatch):
        self.now = NOON
        self.redis = redis
        self.cloud = FakeDriver("fake", clock=lambda: self.now)
        self.drivers: dict[str, Driver] = {"fake": self.cloud}
        self.nudged = []
        self.environ = {"HF_TOKEN": "a-token-of-the-hub"}
        self.log = Log(redis)
        self.requests = Deployments(redis, self.nudged.append, self.drivers)
        self.probes = {}
        self.key_is_enforced = True
        self.completes = None
        unhurried(monkeypatch)
        monkeypatch.setattr("workers.control.sweeper.probe", told(lambda address, *_, **__: self.probes.get(address)))
        monkeypatch.setattr("workers.control.sweeper.key_is_enforced", told(lambda _: self.key_is_enforced))
        monkeypatch.setattr("workers.control.sweeper.cannot_complete", told(lambda *_, **__: self.completes))
        monkeypatch.setattr("workers.control.sweeper.computes", told(False))
        monkeypatch.setattr(
            "workers.control.advance.completion", lambda *_, **__: TestAnswer(text="mustard", seconds=0.1)
        )
        self.restart()

    def restart(self):
        """New processes: nothing in memory."""
        self.advance = Advance(
            redis=self.redis,
            log=self.log,
            drivers=self.drivers,
            ladder=lambda *_: (ladder(offer("fake here-1", gpu="")), ""),
            environ=self.environ,
            installation="i-1",
            machine_lease=LEASE,
            control_lease=timedelta(seconds=10),
            clock=lambda: self.now,
        )
        self.sweeper = Sweeper(
            redis=self.redis,
            log=self.log,
            drivers=self.drivers,
            nudge=self.nudged.append,
            installation="i-1",
            environ=self.environ,
            machine_lease=LEASE,
            control_lease=timedelta(seconds=10),
            every=timedelta(seconds=1),
            clock=lambda: self.now,
        )

    def launch(self, name="m", replicas=1, *, until=None, ceiling=None, stop_after_idle=None, hours="", **recipe):
        made = replace(SCRIPTED, **recipe)
        return self.requests.launch(
            made,
            name=name,
            replicas=replicas,
            place=PLACE,
            limits=Limits(),
            once=name,
            until=until,
            ceiling=ceiling,
            stop_after_idle=stop_after_idle,
            hours=hours,
        )

    def passes(self, length, id_, every=timedelta(seconds=20), **load):
        """Time passes, while the gateway looks at every round, and reports this load."""
        end = self.now + length
        while self.now < end:
            Loads(self.redis).write({id_: Load(**{"at": self.now, "qps": 0.0, **load})})
            self.settle(1, every.total_seconds())

    def settle(self, rounds=6, seconds=10):
        """Sweeps and the nudged advances, as the processes would do them."""
        for _ in range(rounds):
            while self.nudged:
                try:
                    self.advance(self.nudged.pop())
                except DriverError:
                    continue
            self.sweeper.sweep()
            self.now += timedelta(seconds=seconds)

    def state(self, id_):
        return self.requests.by_id(id_)

    def sees(self, id_, **replica):
        """The gateway writes what it sees of the first replica."""
        seen = {1: ReplicaLoad(**{"up": True, "requests": 2, **replica})}
        Loads(self.redis).write({id_: Load(at=self.now, qps=0.0, replicas=seen)})


@pytest.fixture
def loop(redis, monkeypatch):
    return Loop(redis, monkeypatch)


def printed(loop, id_, token, *said):
    """The machine says something; what stands between are lines of its engine."""
    mark = mark_of(token, loop.log.secrets(id_).replica)
    loop.cloud.print(token, *(line(mark, one).strip() for one in said), "INFO an engine's line")


def running(loop):
    return [s for s in loop.cloud.owned("i-1") if s.presence == "running"]


def test_a_part_of_the_sweep_that_fails_stops_neither_the_clocks_nor_the_machines_of_others(loop, monkeypatch):
    monkeypatch.setattr("workers.control.token_counting.TokenCounting.look", lambda *_: 1 / 0)
    id_ = loop.launch(stop_after_idle=timedelta(minutes=30))
    loop.settle()
    loop.passes(timedelta(minutes=40), id_)
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED


def test_no_machine_is_bought_over_the_ceiling_until_a_person_raises_it(loop):
    id_ = loop.launch(replicas=3, ceiling=Decimal("2.50"))
    loop.settle(20)
    assert len(running(loop)) == 2
    state = loop.state(id_)
    assert "the ceiling of 2.50 USD/h leaves 0.50 USD/h for a further replica" in state.exhausted.why
    assert "`/mixtral scale m 3`" in state.exhausted.why
    loop.cloud.end(loop.cloud.running()[0])
    loop.settle(40)
    assert len(running(loop)) == 2, "a replica that failed is replaced, and no other one is bought"
    loop.requests.scale(id_, 3, by="U", ceiling=raised(state, 3, state.rungs))
    loop.settle()
    assert len(running(loop)) == 3


def test_a_launch_settles_and_a_stop_ends_all_of_it(loop):
    id_ = loop.launch(replicas=2)
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY
    assert len(running(loop)) == 2
    loop.requests.stop(id_, by="U")
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED
    assert running(loop) == []


def test_a_deployment_whose_time_is_over_is_announced_and_ends_with_its_machines(loop):
    id_ = loop.launch(until=NOON + timedelta(hours=1))
    loop.settle()
    loop.now = NOON + timedelta(minutes=45)
    loop.settle(2)
    assert loop.state(id_).end_announced.until == NOON + timedelta(hours=1)
    assert len(running(loop)) == 1
    loop.restart()
    loop.now = NOON + timedelta(hours=1)
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED
    assert running(loop) == []
    assert [type(e) for e in loop.log.read(id_)].count(EndAnnounced) == 1


def test_a_deployment_that_is_kept_does_not_end_at_the_first_time(loop):
    id_ = loop.launch(until=NOON + timedelta(hours=1))
    loop.settle()
    loop.now = NOON + timedelta(minutes=50)
    loop.settle(2)
    loop.requests.keep_until(id_, NOON + timedelta(hours=5), by="U")
    loop.now = NOON + timedelta(hours=1)
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY
    loop.now = NOON + timedelta(hours=4, minutes=45)
    loop.settle(2)
    loop.now = NOON + timedelta(hours=5)
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED
    assert running(loop) == []


def test_a_deployment_without_requests_is_announced_and_ends_also_when_its_workers_are_killed_in_between(loop):
    id_ = loop.launch(stop_after_idle=timedelta(hours=1))
    loop.settle()
    asked = loop.now
    loop.passes(timedelta(minutes=40), id_, last_request_at=asked)
    loop.restart()
    loop.passes(timedelta(minutes=10), id_, last_request_at=asked)
    announced = loop.state(id_).idle_end
    assert asked + timedelta(hours=1) <= announced.until <= asked + timedelta(hours=1, minutes=1)
    loop.restart()
    loop.passes(timedelta(minutes=9), id_, last_request_at=asked)
    assert len(running(loop)) == 1
    loop.passes(timedelta(minutes=2), id_, last_request_at=asked)
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED
    assert running(loop) == []
    assert loop.redis.hlen(IDLE) == 0


def test_a_request_in_the_notice_keeps_a_deployment_and_a_silent_gateway_ends_none(loop):
    id_ = loop.launch(stop_after_idle=timedelta(hours=1))
    loop.settle()
    loop.passes(timedelta(minutes=50), id_, last_request_at=loop.now)
    assert loop.state(id_).idle_end
    loop.passes(timedelta(minutes=1), id_, last_request_at=loop.now)
    state = loop.state(id_)
    assert (state.idle_end, state.idle_held.why) == (None, "a request arrived")
    for _ in range(10):
        loop.now += timedelta(hours=1)
        loop.settle(1)
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY


def test_a_deployment_without_clocks_that_nobody_asks_is_noticed_once_a_day_until_it_is_scaled_to_zero(loop):
    id_ = loop.launch()
    loop.settle()
    for day in (1, 2):
        loop.passes(timedelta(hours=24), id_, every=timedelta(hours=1), last_request_at=NOON)
        loop.restart()
        assert [type(e) for e in loop.log.read(id_)].count(IdleNoticed) == day
    loop.requests.scale(id_, 0, by="U")
    loop.passes(timedelta(hours=30), id_, every=timedelta(hours=1), last_request_at=NOON)
    assert [type(e) for e in loop.log.read(id_)].count(IdleNoticed) == 2


def test_a_deployment_with_hours_pauses_for_the_night_and_is_restored_in_the_morning(loop):
    loop.now = datetime(2026, 10, 23, 15, tzinfo=UTC)  # a Friday in Paris; the clocks change on Sunday
    id_ = loop.launch(replicas=2, hours="mon-fri 09:00-19:00 Europe/Paris")
    loop.settle()
    assert len(running(loop)) == 2
    loop.now = datetime(2026, 10, 23, 16, 45, tzinfo=UTC)
    loop.settle(2)
    pause = loop.state(id_).pause_announced.until
    assert pause - datetime(2026, 10, 23, 17, tzinfo=UTC) < timedelta(minutes=1)
    loop.restart()
    loop.now = pause - timedelta(seconds=30)
    loop.settle(2)
    assert len(running(loop)) == 2
    loop.now = pause
    loop.settle(8)
    assert running(loop) == []
    assert condition_of(loop.state(id_)).status is DeploymentStatus.SCALED_TO_ZERO
    loop.now = datetime(2026, 10, 26, 7, 58, tzinfo=UTC)
    loop.settle(3)
    assert running(loop) == []
    loop.now = datetime(2026, 10, 26, 8, tzinfo=UTC)
    loop.settle(8)
    assert len(running(loop)) == 2


def test_a_pause_is_kept_from_requests_that_would_start_a_replica(loop):
    loop.now = datetime(2026, 10, 23, 20, tzinfo=UTC)
    service = Service(replica_policy=ReplicaPolicy(min_replicas=0))
    id_ = loop.launch(hours="mon-fri 09:00-19:00 Europe/Paris", service=service)
    loop.passes(timedelta(minutes=20), id_, held=1, last_request_at=loop.now)
    assert loop.cloud.bought == []
    assert loop.state(id_).paused == 1


def test_what_a_worker_of_an_earlier_version_buys_beside_this_sweeper_is_booked(loop):
    loop.sweeper.complete_ledger()
    loop.launch()
    loop.settle()
    loop.redis.delete(LEDGER)  # the earlier version books nothing
    loop.now += LEDGER_EVERY
    loop.sweeper.complete_ledger()
    [use] = loop.requests.book().uses.values()
    assert (use.owner.name, use.ended) == ("m", None)
    booked = loop.redis.xlen(LEDGER)
    loop.now += LEDGER_EVERY
    loop.sweeper.complete_ledger()
    assert loop.redis.xlen(LEDGER) == booked


def test_the_end_of_a_machine_is_booked_by_our_clock_until_its_cloud_tells_when(loop):
    id_ = loop.launch()
    loop.settle()
    [token] = loop.cloud.bought
    loop.requests.stop(id_, by="U")
    loop.settle()
    [use] = Ledger(loop.redis).book().uses.values()
    assert use.estimated
    loop.cloud.told_ends[token] = told = use.ended - timedelta(seconds=4)
    loop.now += timedelta(minutes=5)
    loop.settle(2)
    [settled] = Ledger(loop.redis).book().uses.values()
    assert (settled.ended, settled.estimated) == (told, False)
    booked = loop.redis.xlen(LEDGER)
    loop.now += timedelta(minutes=5)
    loop.settle(2)
    loop.restart()
    loop.settle(2)
    assert loop.redis.xlen(LEDGER) == booked


def test_the_end_that_a_cloud_tells_in_its_list_is_booked_at_once(loop):
    id_ = loop.launch()
    loop.settle()
    [token] = loop.cloud.bought
    loop.cloud.told_ends[token] = told = loop.now - timedelta(seconds=3)
    loop.cloud.end(token, "preempted", Presence.PREEMPTED)
    loop.settle(2)
    use = Ledger(loop.redis).book().uses[id_, 1]
    assert (use.ended, use.estimated) == (told, False)


def test_the_tokens_of_a_replica_are_booked_also_over_a_restart_of_the_sweeper(loop, monkeypatch):
    engine = {"read": (0, 0)}
    monkeypatch.setattr("workers.control.token_counting.tokens", told(lambda *_, **__: engine["read"]))
    id_ = loop.launch()
    loop.settle()

    def booked():
        return Ledger(loop.redis).book().tokens_of({id_}, NOON, loop.now + timedelta(hours=1))

    def works(prompt, generated, minutes=11):
        engine["read"] = (prompt, generated)
        loop.now += timedelta(minutes=minutes)
        loop.settle(1, seconds=0)
        while loop.sweeper._tokens._asks._calls:
            time.sleep(0.01)
            loop.settle(1, seconds=0)

    works(1000, 100)
    assert booked() == Tokens(1000, 100)
    works(1500, 120)
    assert booked() == Tokens(1500, 120)
    loop.restart()
    works(1600, 130)
    assert booked() == Tokens(1600, 130)
    works(40, 4)  # the engine was restarted
    assert booked() == Tokens(1640, 134)
    entries = loop.redis.xlen(TOKENS)
    works(40, 4)
    assert loop.redis.xlen(TOKENS) == entries, "an idle replica is not booked again"
    works(50, 5)
    works(60, 6, minutes=2)
    assert booked() == Tokens(1650, 135)
    loop.requests.stop(id_, by="U")
    loop.settle()
    assert booked() == Tokens(1660, 136), "what was read last is booked when the replica ends"


def test_a_ledger_that_cannot_be_read_does_not_stop_the_sweeps_and_is_completed_afterwards(loop):
    loop.launch()
    loop.settle()
    loop.redis.delete(LEDGER)
    loop.redis.set(LEDGER, "not a stream")
    loop.sweeper.complete_ledger()
    loop.redis.delete(LEDGER)
    loop.sweeper.complete_ledger()
    [use] = loop.requests.book().uses.values()
    assert use.ended is None


def test_an_answer_that_was_lost_after_the_effect_is_found_and_kept(loop):
    id_ = loop.launch()
    loop.cloud.lose_answers = True
    loop.settle(2)
    assert "replica 1" not in str(loop.state(id_).ended)
    loop.cloud.lose_answers = False
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY
    assert len(running(loop)) == 1


@pytest.fixture
def hub(loop):
    hub = FakeHub()
    loop.environ["HF_ENDPOINT"] = hub.url
    yield hub
    hub.close()


VLLM = Engine(kind="vllm", model="mistralai/Mixtral-8x7B-Instruct-v0.1")


def test_gated_weights_that_the_token_does_not_open_end_the_launch_before_anything_is_paid(loop, hub):
    hub.models[VLLM.model], hub.opens["a-token-of-the-hub"] = "auto", set()
    id_ = loop.launch(engine=VLLM)
    loop.settle()
    state = loop.state(id_)
    assert "HF_TOKEN does not open them" in state.ended.failed
    assert not state.attempts
    assert not loop.cloud.bought
    assert "a-token-of-the-hub" not in str(loop.log.read(id_))


def test_the_hub_is_asked_once_and_the_machine_gets_the_token_that_it_was_asked_with(loop, hub):
    hub.models[VLLM.model], hub.opens["a-token-of-the-hub"] = "auto", {VLLM.model}
    id_ = loop.launch(engine=VLLM)
    loop.settle()
    loop.now += timedelta(minutes=11)  # the ladder is planned again for the replacement
    loop.cloud.end(loop.cloud.running()[0])
    loop.settle(8)
    assert len(loop.cloud.bought) == 2
    assert sum(isinstance(e, LadderPlanned) for e in loop.log.read(id_)) == 2
    assert len(hub.requests) == 2, "the model's description, and its files"
    assert [e.says for e in loop.log.read(id_) if isinstance(e, WeightsChecked)] == [""]
    assert all(secrets["HF_TOKEN"] == "a-token-of-the-hub" for secrets in loop.cloud.secrets.values())


def test_a_hub_that_is_down_is_said_and_the_launch_goes_on(loop, hub):
    hub.always = (503, "")
    id_ = loop.launch(engine=VLLM)
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY
    assert "answers with status 503" in loop.state(id_).weights.says


def test_a_script_that_takes_nothing_from_the_hub_gets_no_token_that_it_does_not_name(loop):
    loop.launch(engine=None, run="serve")
    loop.settle()
    assert ["HF_TOKEN" in secrets for secrets in loop.cloud.secrets.values()] == [False]


def test_an_intent_that_is_replayed_is_looked_for_first_for_a_cloud_forgets_tokens(loop):
    loop.cloud.forgets_tokens = True
    id_ = loop.launch()
    loop.cloud.lose_answers = True
    loop.settle(1)
    loop.cloud.lose_answers = False
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY
    assert len(loop.cloud.bought) == 1, "a machine was bought twice"


def test_an_intent_that_cannot_be_looked_for_is_not_asked_for_again(loop, monkeypatch):
    loop.cloud.forgets_tokens = True
    loop.launch()
    loop.cloud.lose_answers = True
    loop.settle(1)
    loop.cloud.lose_answers = False

    def silent(*_):
        raise DriverError("the list does not answer")

    monkeypatch.setattr(loop.cloud, "find", silent)
    loop.restart()
    loop.settle()
    assert len(loop.cloud.bought) == 1, "a machine was bought twice"


def test_an_attempt_of_a_log_that_was_rolled_back_never_takes_the_token_of_the_one_before(loop, redis):
    id_ = loop.launch()
    key = f"mixtral:d:{id_}"
    before = redis.dump(key)
    loop.settle()
    [old] = loop.cloud.running()
    loop.cloud.end(old)
    redis.restore(key, 0, before, replace=True)
    loop.restart()
    loop.nudged.append(id_)
    loop.settle()
    [attempt] = loop.state(id_).attempts
    assert attempt.number == 1
    assert attempt.phase is Phase.READY
    assert attempt.request.token != old, "the cloud knows that token, and it names another request or an ended machine"


def test_a_cloud_that_gives_no_answer_is_told_of_and_given_up_in_the_end(loop):
    id_ = loop.launch()
    loop.cloud.unreachable = True
    loop.settle(2)
    assert loop.state(id_).attempts[0].progress
    assert loop.state(id_).attempts[0].phase is Phase.PROVISIONING
    loop.settle(4, seconds=600)
    assert loop.state(id_).attempts[0].phase is Phase.SHUTTING_DOWN
    loop.cloud.unreachable = False
    loop.settle(8)
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY


def test_a_machine_that_is_found_after_a_lost_answer_costs_what_was_requested(loop, monkeypatch):
    found = loop.cloud.find

    def without_price(*where):
        machine = found(*where)
        return machine and replace(machine, offer=replace(machine.offer, usd_per_hour=None, accelerator=None))

    monkeypatch.setattr(loop.cloud, "find", without_price)
    id_ = loop.launch()
    loop.cloud.lose_answers = True
    loop.settle()
    [attempt] = [a for a in loop.state(id_).attempts if a.machine]
    assert attempt.machine.offer == attempt.request.offers[0]
    assert loop.requests.book().total(None, loop.now) == loop.state(id_).spent(loop.now) > 0


def test_a_machine_that_cannot_be_ended_holds_nobody_else_up(loop, monkeypatch):
    first = loop.launch("first")
    loop.settle()
    stuck = loop.state(first).attempts[0].request.token
    terminate = loop.cloud.terminate

    def refuses(token, known):
        if token == stuck:
            raise DriverError("the machine does not end")
        terminate(token, known)

    monkeypatch.setattr(loop.cloud, "terminate", refuses)
    loop.requests.stop(first, by="U")
    loop.settle()
    second = loop.launch("second")
    loop.settle()
    assert condition_of(loop.state(second)).status is DeploymentStatus.READY
    assert condition_of(loop.state(first)).status is DeploymentStatus.ENDING
    monkeypatch.setattr(loop.cloud, "terminate", terminate)
    loop.settle(8, seconds=40)
    assert condition_of(loop.state(first)).status is DeploymentStatus.ENDED


def test_a_machine_whose_log_nobody_may_read_is_ended_all_the_same(loop, monkeypatch):
    id_ = loop.launch()
    loop.settle()

    def barred(*_):
        raise DriverError("the role lacks GetConsoleOutput")

    monkeypatch.setattr(loop.cloud, "log", barred)
    loop.probes[loop.state(id_).attempts[0].machine.address] = Unready(why="status 500")
    loop.settle(25)
    first = loop.state(id_).attempts[0]
    assert first.phase is Phase.FAILED
    assert first.failure is Failure.PROBING
    assert "GetConsoleOutput" in first.log_tail
    assert first.request.token not in loop.cloud.running()


SILENT = Unready(why="no answer within 15 s", silent=True)


def test_an_engine_whose_slots_are_all_in_use_is_neither_cut_nor_replaced_and_is_replaced_when_it_dies(loop):
    id_ = loop.launch()
    loop.settle()
    address = loop.state(id_).attempts[0].machine.address
    loop.probes[address] = SILENT
    for _ in range(60):  # 10 min
        loop.sees(id_, idle=4.0)
        loop.settle(1)
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]
    assert not any(isinstance(event, ReplicaNotReady) for event in loop.log.read(id_))
    died = loop.now
    while len(loop.cloud.running()) == 1 and loop.now - died < timedelta(minutes=10):
        loop.sees(id_, up=False, requests=0, idle=4.0 + (loop.now - died).total_seconds())
        loop.settle(1, seconds=1)
        if loop.state(id_).attempts[0].phase is Phase.FAILED:
            break
    assert loop.state(id_).attempts[0].phase is Phase.FAILED
    assert loop.now - died <= timedelta(seconds=200)


def test_a_replica_that_answers_its_probe_with_an_error_and_has_streams_drains_and_is_replaced(loop):
    id_ = loop.launch()
    loop.settle()
    gateway.route(loop.log, loop.state(id_), loop.now)
    first = loop.state(id_).attempts[0]
    loop.probes[first.machine.address] = Unready(why="status 500")
    for _ in range(25):
        loop.sees(id_, idle=1.0)
        loop.settle(1)
    first, second = loop.state(id_).attempts
    assert (first.phase, first.failure) == (Phase.DRAINING, Failure.PROBING)
    assert second.machine is not None
    assert first.request.token in loop.cloud.running()
    gateway.route(loop.log, loop.state(id_), loop.now)
    loop.settle(3)
    assert loop.state(id_).attempts[0].phase is Phase.FAILED
    assert loop.cloud.running() == [second.request.token]


@pytest.mark.parametrize("where", ["probe", "first completion"])
def test_an_engine_that_asks_for_another_key_is_never_ready_and_costs_one_machine_and_no_initial_delay(loop, where):
    id_ = loop.launch()
    refused = another_key("status 401: Unauthorized")
    if where == "probe":
        loop.probes["http://fake.invalid:8000"] = refused
    else:
        loop.completes = refused
    began = loop.now = loop.state(id_).requested_at
    loop.settle(8, seconds=1)
    state = loop.state(id_)
    assert condition_of(state).status is DeploymentStatus.FAILED
    assert "this engine asks for another key than VLLM_API_KEY" in state.ended.failed
    assert "--api-key $VLLM_API_KEY" in state.ended.failed
    assert [a.failure for a in state.attempts] == [Failure.KEY_REFUSED]
    assert not any(isinstance(event, ReplicaReady) for event in loop.log.read(id_))
    assert loop.now - began < timedelta(seconds=30)


def test_a_cloud_that_is_silent_keeps_the_replicas_on_others_waiting_for_nothing(loop, monkeypatch):
    id_ = loop.launch(replicas=2)
    loop.settle()
    silent, _ = loop.state(id_).attempts
    terminate = loop.cloud.terminate

    def ends(token, known):
        if token == silent.request.token:
            raise DriverError("its cloud gives no answer")
        terminate(token, known)

    monkeypatch.setattr(loop.cloud, "terminate", ends)
    loop.requests.stop(id_, by="U")
    loop.settle(2)
    assert loop.cloud.running() == [silent.request.token]
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDING  # not down before the last machine is
    monkeypatch.setattr(loop.cloud, "terminate", terminate)
    loop.settle(8, seconds=40)
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED


def test_a_log_that_cannot_be_read_holds_nobody_else_up(loop, redis):
    odd = loop.launch("odd")
    loop.settle()
    redis.xadd(f"mixtral:d:{odd}", {"e": '{"type":"SomethingNew"}'}, id="99-0")
    loop.restart()
    fine = loop.launch("fine")
    loop.settle()
    assert condition_of(loop.state(fine)).status is DeploymentStatus.READY
    assert len(running(loop)) == 2


def test_a_machine_that_comes_after_the_end_is_ended(loop):
    id_ = loop.launch()
    loop.settle()
    state = loop.state(id_)
    loop.requests.stop(id_, by="U")
    loop.settle()
    # A worker that had stalled in `create` all the while is told yes only now.
    late = replace(state.attempts[0].request, token="d-late", attempt=1)
    machine = loop.cloud.create(late, {})
    ended = loop.state(id_)
    gone_first = replace(machine, token=state.attempts[0].request.token)
    loop.log.record(
        id_,
        ended.version,
        [MachineCreated(event_id=EventId("late"), at=loop.now, attempt=1, machine=gone_first)],
    )
    loop.settle(40, seconds=60)
    assert all(s.machine.token == "d-late" for s in running(loop)), "only the one no log knows is left alone"


def test_a_cloud_that_the_worker_may_not_use_any_more_is_named(loop):
    id_ = loop.launch()
    loop.settle()
    drivers = dict(loop.drivers)
    loop.drivers.clear()
    loop.restart()
    loop.now += LEASE
    loop.requests.stop(id_, by="U")
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDING
    loop.drivers.update(drivers)
    loop.restart()
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.ENDED


def test_an_unknown_machine_is_left_alone_and_an_unwanted_one_is_ended(loop, redis):
    id_ = loop.launch()
    loop.settle()
    redis.flushall()
    loop.restart()
    loop.settle()
    assert len(running(loop)) == 1, "without its log nobody knows whether it is wanted"
    assert loop.state(id_) is None


def test_a_second_machine_of_one_intent_is_ended_and_the_one_in_the_log_is_kept(loop):
    """Two workers on one intent may each have made one, if the cloud kept no answer for the token."""
    id_ = loop.launch()
    loop.settle()
    [attempt] = loop.state(id_).attempts
    loop.cloud.twin(attempt.request.token)
    loop.now += timedelta(minutes=5)
    loop.settle()
    assert [twin.presence for twin in loop.cloud.twins] == [Presence.ENDED]
    assert loop.cloud.running() == [attempt.request.token]
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]


def test_a_second_machine_does_not_hide_that_the_one_in_the_log_is_gone(loop):
    id_ = loop.launch()
    loop.settle()
    [attempt] = loop.state(id_).attempts
    loop.cloud.twin(attempt.request.token)
    loop.cloud.end(attempt.request.token, "deleted")
    loop.now += timedelta(minutes=5)
    loop.settle()
    first, second = loop.state(id_).attempts
    assert (first.phase, second.phase) == (Phase.FAILED, Phase.READY)
    assert [twin.presence for twin in loop.cloud.twins] == [Presence.ENDED]


def test_what_a_machine_prints_while_it_boots_is_told(loop):
    id_ = loop.launch(secrets=("HF_TOKEN",))
    loop.probes["http://fake.invalid:8000"] = Unready(why="nothing listens there")
    loop.settle(2)
    [token] = loop.cloud.running()
    printed(loop, id_, token, "pulling vllm/vllm-openai:v1 with a-token-of-the-hub")
    loop.settle(3)
    assert loop.state(id_).attempts[0].progress == "pulling vllm/vllm-openai:v1 with \N{BULLET}\N{BULLET}\N{BULLET}"


def test_the_phases_of_a_boot_are_recorded_at_most_every_ten_seconds_and_by_whole_percents(loop):
    id_ = loop.launch()
    loop.probes["http://fake.invalid:8000"] = "nothing listens there"
    loop.settle(2)
    [token] = loop.cloud.running()
    before = loop.log.version(id_)
    printed(loop, id_, token, "phase booting", "phase pulling", "pulling vllm/vllm-openai:v1")
    for done in range(10):  # of 1000: one whole percent later
        printed(loop, id_, token, f"progress pulling {done + 5} 1000")
        loop.settle(1, seconds=4)
    loop.settle(8, seconds=4)
    attempt = loop.state(id_).attempts[0]
    assert attempt.progress == "pulling vllm/vllm-openai:v1"
    assert [(stage.phase, stage.percent) for stage in attempt.boot] == [(BootPhase.PULLING, 1)]
    told = [e for e in loop.log.read(id_)[before:] if isinstance(e, EngineProgressed)]
    assert len(told) <= 3, "the phase, and its one whole percent"
    printed(loop, id_, token, "phase loading", "starting m")
    loop.settle(5, seconds=4)
    assert loop.state(id_).attempts[0].boot[-1].phase is BootPhase.LOADING


def test_a_machine_whose_console_is_never_read_is_bounded_too(loop):
    id_ = loop.launch()
    loop.probes["http://fake.invalid:8000"] = "nothing listens there"
    loop.settle(2)
    first = loop.state(id_).attempts[0]
    assert first.request.boots_within == BOOTS_WITHIN
    loop.settle(30, seconds=60)  # the usual boot of Mixtral on eight A100 is over, with the usual delay of a console
    assert loop.state(id_).attempts[0].phase is Phase.STARTING
    loop.settle(12, seconds=60)
    gone = loop.state(id_).attempts[0]
    assert gone.failure is Failure.INITIAL_DELAY
    assert "its console reported no phase of the boot" in gone.why


def test_an_engine_that_its_machine_starts_again_is_given_time_and_nothing_is_bought(loop):
    id_ = loop.launch()
    loop.settle()
    [token] = loop.cloud.running()
    printed(loop, id_, token, again("m", 137, 1, loop.now), "starting m")
    loop.probes["http://fake.invalid:8000"] = Unready(why="nothing listens there")
    loop.settle()
    [attempt] = loop.state(id_).attempts
    assert attempt.phase is Phase.NOT_READY
    assert attempt.engine_end.how == "m was killed by SIGKILL"
    loop.probes.clear()
    loop.settle(2)
    [attempt] = loop.state(id_).attempts
    assert attempt.phase is Phase.READY
    told = loop.log.read(id_)
    printed(loop, id_, token, again("m", 137, 2, loop.now - timedelta(hours=3)), "starting m")
    loop.probes["http://fake.invalid:8000"] = Unready(why="the network is broken")
    loop.settle(12)
    assert not any(isinstance(e, EngineEnded) for e in loop.log.read(id_)[len(told) :]), "that restart is an old one"


def test_a_restart_is_known_though_the_worker_was_away_when_it_happened(loop):
    id_ = loop.launch()
    loop.settle()
    [token] = loop.cloud.running()
    printed(loop, id_, token, again("m", 137, 1, loop.now), "starting m")
    loop.probes["http://fake.invalid:8000"] = Unready(why="nothing listens there")
    loop.now += timedelta(minutes=3)
    loop.restart()
    loop.settle(4)
    assert loop.state(id_).attempts[0].engine_ends == 1


def test_what_an_engine_prints_ends_nothing_and_one_that_answers_is_not_listened_to(loop):
    id_ = loop.launch()
    loop.settle()
    [token] = loop.cloud.running()
    loop.cloud.print(token, f"ERROR no model a: mixtral: {no_more('x', 1, 3)}", f"mixtral[abc]: {no_more('x', 1, 3)}")
    loop.cloud.print(token, f"mixtral: x exited with status {'9' * 5000} at each of its last 3 starts")
    loop.cloud.calls.clear()
    loop.settle(10)
    assert not [name for name, _ in loop.cloud.calls if name == "log"]
    loop.probes["http://fake.invalid:8000"] = Unready(why="busy")
    loop.settle(9)
    loop.probes.clear()
    loop.settle(2)
    [attempt] = loop.state(id_).attempts
    assert attempt.phase is Phase.READY
    assert ("log", token) in loop.cloud.calls


def test_an_engine_that_is_of_no_use_costs_two_machines_and_minutes_and_its_last_lines_are_told(loop):
    id_ = loop.launch()
    began = loop.now = loop.state(id_).requested_at
    loop.probes["http://fake.invalid:8000"] = Unready(why="nothing listens there")
    for _ in range(30):
        loop.settle(1)
        for token in loop.cloud.running():
            loop.cloud.print(token, "ValueError: no such model")
            printed(loop, id_, token, no_more("m", 1, 3))
        if loop.state(id_).ended:
            break
    state = loop.state(id_)
    assert condition_of(state).status is DeploymentStatus.FAILED
    assert "m exited with status 1 at each of its last 3 starts" in state.ended.failed
    assert [a.failure for a in state.attempts] == [Failure.CRASHED, Failure.CRASHED]
    assert "ValueError: no such model" in state.attempts[-1].log_tail
    assert loop.now - began < timedelta(minutes=3), "and not two initial delays of 20 min"


def test_a_machine_that_disappears_is_noticed_within_two_lists_and_replaced(loop):
    id_ = loop.launch()
    loop.settle()
    token = loop.state(id_).attempts[0].request.token
    loop.now += timedelta(minutes=10)
    loop.settle(1)
    loop.cloud._machines.pop(token)
    loop.settle(8)
    assert loop.state(id_).attempts[0].phase is Phase.FAILED
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY


def test_a_preemption_that_nobody_of_us_saw_is_one_all_the_same(loop):
    id_ = loop.launch()
    loop.settle()
    token = loop.state(id_).attempts[0].request.token
    loop.now += timedelta(minutes=10)
    loop.cloud._machines.pop(token)  # while the control plane was away
    loop.cloud.ends[token] = MachineEnd(why="preempted by GCP", preempted=True)
    loop.restart()
    loop.settle(8)
    first = loop.state(id_).attempts[0]
    assert (first.phase, first.why) == (Phase.PREEMPTED, "preempted by GCP")
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY


def test_one_list_without_the_machine_is_no_verdict(loop, monkeypatch):
    id_ = loop.launch()
    loop.settle()
    owned = loop.cloud.owned
    monkeypatch.setattr(loop.cloud, "owned", lambda *_: Listing())
    loop.now += timedelta(minutes=1)
    loop.settle(1)
    monkeypatch.setattr(loop.cloud, "owned", owned)
    loop.settle()
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]


@pytest.mark.parametrize("error", [DriverError("no answer"), OSError("no route"), KeyError("Reservations")])
def test_a_list_that_fails_says_nothing_of_its_machines_and_holds_no_other_cloud_up(loop, monkeypatch, error):
    id_ = loop.launch()
    loop.settle()
    other = FakeDriver("other", clock=lambda: loop.now)
    loop.drivers["other"] = other
    loop.restart()

    def fails(*_):
        raise error

    for silent in (loop.cloud, other):
        with monkeypatch.context() as broken:
            broken.setattr(silent, "owned", fails)
            loop.settle(8)
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]
    monkeypatch.setattr(other, "owned", fails)
    loop.cloud.end(loop.state(id_).attempts[0].request.token)
    loop.settle()
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.FAILED, Phase.READY]


def test_a_cloud_that_may_not_be_asked_any_more_says_nothing_of_its_machines(loop, monkeypatch):
    id_ = loop.launch()
    loop.settle()
    monkeypatch.setattr(loop.cloud, "status", lambda: CloudStatus(cloud="fake", usable=False))
    loop.settle(8)
    assert [a.phase for a in loop.state(id_).attempts] == [Phase.READY]


@pytest.mark.parametrize("error", [DriverError("it does not end"), OSError("no route"), KeyError("a defect")])
def test_an_unwanted_machine_that_cannot_be_ended_is_tried_again_and_holds_nobody_else_up(loop, monkeypatch, error):
    id_ = loop.launch()
    loop.settle()
    state = loop.state(id_)
    loop.requests.stop(id_, by="U")
    loop.settle()
    token = state.attempts[0].request.token
    terminate = loop.cloud.terminate

    def fails(*_):
        raise error

    monkeypatch.setattr(loop.cloud, "terminate", fails)
    loop.cloud._ended.pop(token)  # the cloud had said that it ended, and it runs on
    other = loop.launch("other")
    loop.settle()
    assert condition_of(loop.state(other)).status is DeploymentStatus.READY
    assert token in loop.cloud.running()
    monkeypatch.setattr(loop.cloud, "terminate", terminate)
    loop.settle(40)
    assert token not in loop.cloud.running()


@pytest.mark.parametrize("error", [DriverError("no answer"), KeyError("a defect")])
def test_a_lease_that_could_not_be_extended_is_extended_by_a_later_sweep(loop, monkeypatch, error):
    id_ = loop.launch()
    loop.settle()
    loop.now += LEASE / 2
    extend = loop.cloud.extend

    def fails(*_):
        raise error

    monkeypatch.setattr(loop.cloud, "extend", fails)
    loop.settle(2)
    [attempt] = loop.state(id_).attempts
    assert attempt.expires_at <= NOON + LEASE + timedelta(minutes=1), "what the cloud does not know is not recorded"
    monkeypatch.setattr(loop.cloud, "extend", extend)
    loop.settle(2)
    assert loop.state(id_).attempts[0].expires_at == loop.cloud._expiry[attempt.request.token] > NOON + LEASE


def test_a_probe_that_raises_is_no_verdict_and_holds_nobody_else_up(loop, monkeypatch):
    odd = loop.launch("odd")
    loop.settle()
    broken = loop.state(odd).attempts[0].request.boot.port
    monkeypatch.setattr(loop.sweeper._prober, "_ask", lambda *_, **__: {}[broken])
    loop.settle()
    assert condition_of(loop.state(odd)).status is DeploymentStatus.READY
    loop.restart()
    fine = loop.launch("fine")
    loop.settle()
    assert condition_of(loop.state(fine)).status is DeploymentStatus.READY


def test_how_a_machine_ended_is_asked_again_where_redis_did_not_answer_meanwhile(loop, monkeypatch):
    id_ = loop.launch()
    loop.settle()
    token = loop.state(id_).attempts[0].request.token
    loop.cloud.print(token, "ValueError: no such model")

    def fails(*_):
        raise RedisError("no answer")

    with monkeypatch.context() as broken:
        broken.setattr(Recorder, "log_tail", fails)
        loop.cloud.end(token, "crashed")
        loop.settle(2)
        assert loop.state(id_).attempts[0].phase is Phase.READY, "its last lines are not given up for that"
    loop.settle(2)
    first = loop.state(id_).attempts[0]
    assert first.phase is Phase.FAILED
    assert "no such model" in first.log_tail


def test_a_cloud_that_takes_its_time_to_tell_of_an_end_holds_nobody_else_up(loop, monkeypatch):
    slow, quick = loop.launch("slow"), loop.launch("quick")
    loop.settle()
    unhurried(monkeypatch, 0.2)
    answer = threading.Event()
    log = loop.cloud.log

    def slowly(token, lines, known):
        assert answer.wait(30)
        return log(token, lines)

    monkeypatch.setattr(loop.cloud, "log", slowly)
    loop.cloud.end(loop.state(slow).attempts[0].request.token, "crashed")
    began = time.monotonic()
    loop.settle(3)
    loop.requests.scale(quick, 2, by="U")
    loop.settle(3)
    assert len(loop.state(quick).ready) == 2
    assert time.monotonic() - began < 20
    assert loop.state(slow).attempts[0].phase is Phase.READY, "its end has not been told yet"
    answer.set()
    loop.settle(3)
    assert loop.state(slow).attempts[0].phase is Phase.FAILED
    assert loop.state(slow).attempts[-1].phase is Phase.READY


def test_a_lease_is_extended_at_half_its_life(loop):
    id_ = loop.launch()
    loop.settle()
    loop.now += LEASE / 2
    loop.settle(2)
    assert loop.state(id_).attempts[0].expires_at > NOON + LEASE


def test_no_secret_gets_into_an_event(loop, monkeypatch):
    id_ = loop.launch(secrets=("HF_TOKEN",))
    loop.settle()
    key = loop.log.key(id_)
    said = f"vllm serve --api-key {key} with a-token-of-the-hub"
    monkeypatch.setattr(loop.cloud, "log", lambda *_: said)
    token = loop.state(id_).attempts[0].request.token
    loop.cloud.end(token, f"died saying {said}")
    loop.settle(3)
    told = str(loop.log.read(id_))
    assert any(isinstance(e, MachineGone) and e.log_tail for e in loop.log.read(id_))
    assert key not in told
    assert "a-token-of-the-hub" not in told


def test_an_endpoint_without_a_lock_is_told_of(loop):
    loop.key_is_enforced = False
    id_ = loop.launch()
    loop.settle()
    gateway.route(loop.log, loop.state(id_), loop.now)
    loop.settle()
    assert loop.state(id_).endpoint
    assert loop.state(id_).key_not_enforced
    loop.key_is_enforced = True
    loop.cloud.end(loop.state(id_).attempts[0].request.token)
    loop.settle()
    assert condition_of(loop.state(id_)).status is DeploymentStatus.READY
    assert not loop.state(id_).key_not_enforced  # the one that replaced it asks for the key
    assert any(isinstance(e, KeyNotEnforced) for e in loop.log.read(id_))


def test_a_probe_that_hangs_holds_nobody_else_up(redis, monkeypatch):
    real = Loop(redis, monkeypatch)
    monkeypatch.undo()
    real.restart()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        made = real.cloud._made
        monkeypatch.setattr(
            real.cloud, "_made", lambda request: replace(made(request), address=f"http://127.0.0.1:{port}")
        )
        id_ = real.launch()
        real.advance(id_)
        began = datetime.now(UTC)
        real.sweeper.sweep()
        real.sweeper.sweep()
        assert datetime.now(UTC) - began < timedelta(seconds=12), "a probe has 15 s"
        assert condition_of(real.state(id_)).status is DeploymentStatus.STARTING


def test_a_bad_value_in_the_policy_stops_neither_the_sweep_nor_the_nudges(loop, caplog):
    id_ = loop.launch()
    loop.settle()
    assert loop.cloud.running()
    limits = (Budget(scope=BudgetScope.INSTALLATION, day=Decimal(50), then=Then.STOP),)
    StoredPolicy(loop.redis).put(Policy(budgets=BudgetPolicy(zone="Mars/Base", limits=limits)))
    loop.requests.stop(id_, by="U1")
    loop.nudged.clear()  # it is lost
    loop.now += timedelta(minutes=1)
    with caplog.at_level("ERROR"):
        loop.settle()
    assert not loop.cloud.running()
    assert len([record for record in caplog.records if "BudgetStops" in record.message]) == 1
