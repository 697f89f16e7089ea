"""Calls that are silent, late or lost, while workers die and people scale: no machine is kept beside another one."""

import contextlib
import os
import random
import time
from datetime import timedelta

import pytest

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes import gateway
from tests.fakes.driver import FakeDriver
from tests.fakes.probes import told
from tests.fakes.unhurried import unhurried
from tests.fakes.virtual_calls import NEVER, VirtualCalls, VirtualTime
from workers.api import Deployments, NoSuchDeployment
from workers.clouds.driver import DriverError, NoAnswer, Refused
from workers.control.advance import Advance
from workers.control.sweeper import Sweeper
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.placement.limits import Limits
from workers.placement.refusals import Scope
from workers.serving.probe import TestAnswer

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

SEED = int(os.environ.get("MIXTRAL_KILL_SEED", "2026"))
SCHEDULES = 300
OFFERS = [
    offer("fake east-1", "2.00", gpu=""),
    offer("fake west-1", "3.00", gpu=""),
    offer("fake north-1", "5.00", gpu=""),
    offer("fake south-1", "7.00", gpu=""),
]
FULL = Refused("The zone is full.", code="Full", scope=Scope.ZONE)
SECOND = timedelta(seconds=1)


class Killed(BaseException):
    """The process dies here."""


class SilentCloud(FakeDriver):
    """Does not answer any call about a region that is silent."""

    def __init__(self, clock):
        super().__init__("fake", clock=clock)
        self.silent = set()
        self.full = set()
        self.refuse = lambda one: FULL if one.zone in self.full else None

    def find(self, token, known=None):
        self._heard(known)
        return super().find(token, known)

    def terminate(self, token, known=None):
        self._heard(known)
        if token in self._machines:  # a cloud does not remember the end of a machine that it makes later
            super().terminate(token, known)

    def _heard(self, known):
        if known.region in self.silent:
            raise NoAnswer(f"{known.region} gives no answer.")


class Schedule:
    def __init__(self, redis, seed):
        redis.flushall()
        self.rng = random.Random(seed)
        self.redis, self.time = redis, VirtualTime()
        self.cloud = SilentCloud(self.time)
        self.death_rate, self.calm = 0.0, False
        self.nudged = []
        self.requests = Deployments(redis, self.nudged.append, {"fake": self.cloud})
        self.log = Log(redis)
        self.wanted = self.rng.randint(1, 3)
        self.id = self.requests.launch(SCRIPTED, name="m", replicas=self.wanted, place=PLACE, limits=Limits(), once="m")
        self.beside = 0
        self.restart()

    def restart(self):
        """New processes."""
        schedule = self

        class MortalLog(Log):
            def append(self, *given):
                return schedule.mortal(lambda: super(MortalLog, self).append(*given))

            def intend(self, *given):
                return schedule.mortal(lambda: super(MortalLog, self).intend(*given))

        shared = {
            "redis": self.redis,
            "drivers": {"fake": self.cloud},
            "installation": "i-1",
            "environ": {},
            "machine_lease": timedelta(hours=24),
            "control_lease": timedelta(seconds=10),
            "clock": self.time,
        }
        self.advance = Advance(
            log=MortalLog(self.redis),
            ladder=lambda *_: (ladder(*OFFERS), ""),
            calls=lambda: VirtualCalls(self.time, self.fate),
            **shared,
        )
        self.sweeper = Sweeper(log=self.log, nudge=self.nudged.append, every=SECOND, **shared)

    def mortal(self, do):
        self.maybe_die()
        done = do()
        self.maybe_die()
        return done

    def maybe_die(self):
        if self.rng.random() < self.death_rate:
            raise Killed

    def fate(self, _attempt):
        """When a call takes effect, and when its answer arrives."""
        if self.calm:
            return SECOND / 10, SECOND / 5
        answer = self.rng.choice([1, 5, 14, 16, 25, 40, 59, 61, 90, None])
        if answer is None:
            effect = self.rng.choice([timedelta(seconds=self.rng.uniform(0, 120)), NEVER])
            return effect, NEVER
        return timedelta(seconds=self.rng.uniform(0, answer)), timedelta(seconds=answer)

    def run(self):
        for _ in range(self.rng.randint(2, 6)):
            self.cloud.silent = {o.region for o in OFFERS if self.rng.random() < 0.2}
            self.cloud.full = {o.zone for o in OFFERS if self.rng.random() < 0.3}
            self.death_rate = self.rng.choice([0.0, 0.0, 0.03, 0.15])
            if self.rng.random() < 0.3:
                delay = timedelta(seconds=self.rng.uniform(0, 30))
                self.time.at(self.time.now + delay, self.person)
            self.work(self.rng.randint(1, 3))
        self.calm, self.death_rate, self.cloud.silent = True, 0.0, set()
        self.cloud.full = set()
        self.time.pass_until(self.time.now + timedelta(minutes=3))  # what was under way has taken effect
        for _ in range(60):
            self.work(1)
            self.time.now += timedelta(seconds=30)
            if self.settled():
                break

    def person(self):
        with contextlib.suppress(NoSuchDeployment):
            if self.rng.random() < 0.3:
                self.requests.stop(self.id, by="U")
                self.wanted = 0
            elif self.wanted:
                self.wanted = self.rng.randint(1, 3)
                self.requests.scale(self.id, self.wanted, by="U")

    def work(self, rounds):
        for _ in range(rounds):
            try:
                while self.nudged:
                    self.advance(self.nudged.pop())
            except Killed:
                for key in self.redis.scan_iter("mixtral:lease:*"):
                    self.redis.delete(key)
                self.restart()
            except DriverError:
                pass  # the sweeper nudges again
            gateway.route(self.log, self.state, self.time.now)
            self.sweeper.sweep()
            self.time.pass_until(self.time.now + timedelta(seconds=5))

    @property
    def state(self):
        return self.requests.by_id(self.id)

    def settled(self):
        open_ones = [a for a in self.state.attempts if a.phase in MAY_COST and a.phase is not Phase.READY]
        wanted = 0 if self.state.ended else self.wanted
        return not open_ones and not self.nudged and len(self.state.ready) == len(self.running()) == wanted

    def running(self):
        return sorted(self.cloud.running())

    def check(self):
        state = self.state
        seen = [(a.number, a.beside, a.phase.value, a.why) for a in state.attempts]
        assert self.settled(), f"wanted {self.wanted}, running {self.running()}, {seen}"
        assert self.running() == sorted(a.request.token for a in state.live)
        tokens = {a.request.token: a.number for a in state.attempts}
        assert set(self.cloud.bought) <= set(tokens)
        assert len(self.cloud.bought) == len(set(self.cloud.bought))
        book = Ledger(self.redis).book()
        booked = {attempt for _, attempt in book.uses}
        assert {tokens[token] for token in self.cloud.bought} <= booked, f"a machine was forgotten: {seen}"
        assert not book.reserved, f"a reservation is left: {book.reserved} {seen}"
        return sum(bool(a.beside) for a in state.attempts)


@pytest.fixture(autouse=True)
def _engines(monkeypatch):
    unhurried(monkeypatch)
    for name, answer in (("probe", None), ("cannot_complete", None), ("key_is_enforced", True), ("computes", False)):
        monkeypatch.setattr(f"workers.control.sweeper.{name}", told(answer))
    monkeypatch.setattr("workers.control.advance.completion", lambda *_, **__: TestAnswer(text="!", seconds=0.1))


@pytest.mark.parametrize("share", range(6))
def test_no_schedule_of_silence_kills_and_late_answers_keeps_two_machines(redis, share, request):
    began, beside = time.monotonic(), 0
    for number in range(share, SCHEDULES, 6):
        schedule = Schedule(redis, SEED * 1000 + number)
        schedule.run()
        try:
            beside += schedule.check()
        except AssertionError as error:
            raise AssertionError(f"seed {SEED * 1000 + number}: {error}") from error
    assert beside > SCHEDULES / 6 / 4, "hardly any call was asked beside a silent one"
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal:
        terminal.write_line(f"\n{SCHEDULES // 6} schedules in {time.monotonic() - began:.0f} s, {beside} asked beside")
