"""Seeded schedules of races, crashes and jumps of the clock: the ledger is the cloud's own account, and no purchase
overdraws a budget.

The oracle does its own sums, from the entries as they stand in the stream, and from what the cloud has metered.
"""

import contextlib
import random
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from msgspec import json
from msgspec.structs import replace

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes.driver import FakeDriver
from workers.api import Deployments, NoSuchDeployment
from workers.clouds.driver import DriverError, Refused
from workers.control.advance import Advance
from workers.control.cloud_ends import CloudEnds
from workers.deployment.ledger import LEDGER
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.placement.limits import Limits
from workers.placement.refusals import Scope as RefusalScope
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

PARIS = ZoneInfo("Europe/Paris")
BEGIN = datetime(2026, 10, 24, 19, 0, tzinfo=UTC)  # the night after has 25 hours in Paris
LIMIT = Decimal(40)
OFFERS = [
    offer("fake here-1", "7.20", gpu=""),
    offer("fake here-2", "9.95", gpu=""),
    offer("fake here-3", "3.33", gpu=""),
]


class Killed(BaseException):
    """The process dies here."""


class Deaths:
    """Kills the process at some of the calls that have an effect, before or after the effect."""

    def __init__(self, rng):
        self._rng = rng
        self._lock = threading.Lock()
        self.rate = 0.0

    def maybe(self):
        with self._lock:
            if self._rng.random() < self.rate:
                raise Killed


class MeteredCloud(FakeDriver):
    """Keeps its own account of each machine: when it began, and when it ended."""

    def __init__(self, deaths, clock):
        super().__init__("fake", clock=clock)
        self._deaths = deaths
        self.began = {}

    def create(self, request, secrets):
        self._deaths.maybe()
        machine = super().create(request, secrets)
        self.began.setdefault(request.token, machine.created_at)
        self._deaths.maybe()
        return machine

    def terminate(self, token, known=None):
        self._deaths.maybe()
        super().terminate(token, *([known] if known else []))
        self.told_ends.setdefault(token, self.clock())
        self._deaths.maybe()

    def cost(self, token, since, until):
        if token not in self.began:
            return Decimal(0)
        began = max(self.began[token], since)
        ended = min(self.told_ends.get(token, until), until)
        seconds = Decimal(max((ended - began).total_seconds(), 0))
        return self._machines[token].offer.usd_per_hour * seconds / 3600


class MortalLog(Log):
    """Dies before or after an append."""

    def __init__(self, redis, deaths):
        super().__init__(redis)
        self._deaths = deaths

    def append(self, deployment, seen, events):
        self._deaths.maybe()
        done = super().append(deployment, seen, events)
        self._deaths.maybe()
        return done

    def intend(self, deployment, seen, intended, ledger):
        self._deaths.maybe()
        done = super().intend(deployment, seen, intended, ledger)
        self._deaths.maybe()
        return done


class Schedule:
    def __init__(self, redis, seed):
        self.rng = random.Random(seed)
        self.redis, self.now = redis, BEGIN
        self.ahead = timedelta()
        self.deaths = Deaths(random.Random(seed + 1))
        self.cloud = MeteredCloud(self.deaths, lambda: self.now)
        self.requests = Deployments(redis, lambda _: None, {"fake": self.cloud})
        self.ids = []
        scope = self.rng.choice([BudgetScope.INSTALLATION, BudgetScope.PERSON])
        self.per_person = scope is BudgetScope.PERSON
        budget = Budget(scope=scope, day=LIMIT)
        StoredPolicy(redis).put(Policy(budgets=BudgetPolicy(zone="Europe/Paris", limits=(budget,))))

    def run(self, steps=9):
        for _ in range(steps):
            self.rng.choice([self.launch, self.launch, self.stop, self.scale, self.wait, self.step, self.refuse])()
            self.deaths.rate = self.rng.choice([0.0, 0.1, 0.3])
            self.work()
        self.deaths.rate = 0.0
        for id_ in self.ids:
            self.change(lambda id_=id_: self.requests.stop(id_, by="U1"))
        for _ in range(3):
            self.work()

    def launch(self):
        for _ in range(self.rng.randint(1, 3)):
            place = replace(PLACE, user=self.rng.choice(["U1", "U2"]))
            name = f"m{len(self.ids)}"
            replicas = self.rng.randint(1, 3)
            self.ids.append(
                self.requests.launch(SCRIPTED, name=name, replicas=replicas, place=place, limits=Limits(), once=name)
            )

    def stop(self):
        if self.ids:
            self.change(lambda: self.requests.stop(self.rng.choice(self.ids), by="U1"))

    def scale(self):
        if self.ids:
            self.change(lambda: self.requests.scale(self.rng.choice(self.ids), self.rng.randint(0, 4), by="U1"))

    def change(self, request):
        with contextlib.suppress(NoSuchDeployment):  # it has ended
            request()

    def wait(self):
        """Time passes, also between a crash and the next try."""
        self.now += timedelta(seconds=self.rng.choice([1, 59, 600, 1801, 3600, 7 * 3600, 26 * 3600]))

    def step(self):
        """The clock of the workers steps forward or back, once no answer of the cloud is lost.

        It is never behind the cloud's: it would add up less than the cloud, until the cloud's times are booked.
        """
        self.deaths.rate = 0.0
        self.work()
        self.ahead = timedelta(seconds=self.rng.choice([0, 1, 300]))

    def refuse(self):
        full = {one.zone for one in OFFERS if self.rng.random() < 0.4}
        refused = Refused("The zone is full.", code="Full", scope=RefusalScope.ZONE)
        self.cloud.refuse = lambda one: refused if one.zone in full else None

    def work(self):
        """Two workers at once for each deployment, each with a random share of them first; then what is left."""
        twice = [*self.ids, *self.ids]
        self.rng.shuffle(twice)
        threads = [threading.Thread(target=self.advance, args=(twice[n::3],)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        CloudEnds(Ledger(self.redis), lambda: self.now).settle(self.cloud.owned("i-1"))

    def advance(self, ids):
        offers = list(OFFERS)
        for id_ in ids:
            worker = Advance(
                redis=self.redis,
                log=MortalLog(self.redis, self.deaths),
                drivers={"fake": self.cloud},
                ladder=lambda *_: (ladder(*offers), ""),
                environ={},
                installation="i-1",
                machine_lease=timedelta(days=30),
                control_lease=timedelta(seconds=10),
                clock=lambda: self.now + self.ahead,
            )
            try:
                worker(id_)
            except (Killed, DriverError):
                continue  # the sweeper nudges again

    def check(self):
        self.check_ledger()
        self.check_purchases()

    def check_ledger(self):
        """Also for a part of the time: each of the days."""
        book = Ledger(self.redis).book()
        assert not book.reserved
        assert not any(use.estimated or use.ended is None for use in book.uses.values())
        assert not self.cloud.running()
        for days in range(-1, 12):
            since = datetime(2026, 10, 24, tzinfo=PARIS) + timedelta(days=days)
            until = since + timedelta(days=1)
            metered = sum((self.cloud.cost(token, since, until) for token in self.cloud.began), Decimal(0))
            assert abs(book.total(since, until) - metered) < Decimal("0.001")

    def check_purchases(self):
        """At each reservation in the order of the ledger: what the cloud had metered, and what was open."""
        users, opened, most = {}, {}, Decimal(0)
        for _, fields in self.redis.xrange(LEDGER):
            entry = json.decode(fields[b"e"])
            key = entry["deployment"], entry.get("attempt")
            match entry["type"]:
                case "DeploymentBooked":
                    users[entry["deployment"]] = entry["user"]
                case "MachineReserved":
                    at, price = datetime.fromisoformat(entry["at"]), Decimal(entry["usd_per_hour"])
                    opened[key] = price
                    committed = self.committed(at, opened, users, users[entry["deployment"]])
                    assert committed <= LIMIT, f"{committed} of {LIMIT} at {at}"
                    most = max(most, committed)
                case "ReservationReleased" | "MachineClosed":
                    opened.pop(key, None)
        return most

    def committed(self, at, opened, users, user):
        midnight = at.astimezone(PARIS).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        total, tokens = Decimal(0), {(r.deployment, r.attempt): t for t, r in self.cloud.requests.items()}
        for key in {*tokens, *opened}:
            if self.per_person and users.get(key[0]) != user:
                continue
            token = tokens.get(key)
            total += self.cloud.cost(token, midnight, at)
            if key in opened:
                has = token in self.cloud.began and self.cloud.began[token] <= at
                price = self.cloud._machines[token].offer.usd_per_hour if has else opened[key]
                total += max(price - self.cloud.cost(token, datetime.min.replace(tzinfo=UTC), at), Decimal(0))
        return total


def play(redis, seed):
    schedule = Schedule(redis, seed)
    schedule.run()
    schedule.check()
    return schedule


@pytest.mark.parametrize("seed", range(6))
def test_no_schedule_overdraws_a_budget(redis, seed):
    play(redis, seed)


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(200))
def test_none_of_200_schedules_overdraws_a_budget(redis, seed):
    play(redis, seed)
