"""Worker hosts with homes of their own on one Valkey and one cloud, in one thread and on a clock that tests move."""

from datetime import UTC, datetime, timedelta

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes.driver import FakeDriver
from tests.fakes.probes import told
from tests.fakes.unhurried import unhurried
from workers.api import Deployments
from workers.control.advance import Advance
from workers.control.sweeper import Sweeper
from workers.deployment.log import Log
from workers.placement.limits import Limits
from workers.serving.probe import TestAnswer

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LEASE = timedelta(hours=24)
TICK = timedelta(seconds=10)


class Company:
    """One Valkey, one cloud, a clock, and hosts whose local machines only they can see."""

    def __init__(self, redis, monkeypatch):
        unhurried(monkeypatch)
        monkeypatch.setattr("workers.control.sweeper.probe", told(None))
        monkeypatch.setattr("workers.control.sweeper.key_is_enforced", told(True))
        monkeypatch.setattr("workers.control.sweeper.cannot_complete", told(None))
        monkeypatch.setattr("workers.control.advance.completion", lambda *_, **__: TestAnswer(text="!", seconds=0.1))
        self.redis, self.log, self.now = redis, Log(redis), NOON
        self.cloud = FakeDriver("fake", clock=lambda: self.now)
        self.hosts = {}
        self.nudged, self.forwarded = [], []
        self.requests = Deployments(redis, self.nudged.append, {})

    def host(self, name, *, installation="i-1", rung="fake here-1", clouds=("fake", "local"), price=1):
        self.hosts[name] = Host(self, name, installation, offer(rung, price, gpu=""), clouds)
        return self.hosts[name]

    def launch(self, name="m"):
        return self.requests.launch(SCRIPTED, name=name, replicas=1, place=PLACE, limits=Limits(), once=name)

    def settle(self, host, rounds=6):
        """Jobs and whole sweeps of one host; every other host observes its own machines."""
        for _ in range(rounds):
            while self.nudged:
                host.advance(self.nudged.pop())
            host.sweeper.sweep()
            for other in self.hosts.values():
                if other is not host:
                    other.sweeper.sweep_host()
            self.now += TICK

    def run_forwarded(self):
        while self.forwarded:
            id_, host = self.forwarded.pop()
            self.hosts[host].advance(id_)

    def events(self, id_, kind):
        return [e for e in self.log.read(id_) if isinstance(e, kind)]

    def attempts(self, id_):
        return [(a.number, a.phase) for a in self.requests.by_id(id_).attempts]


class Host:
    def __init__(self, company, name, installation, rung, clouds):
        self.local = FakeDriver("local", clock=lambda: company.now, offers=(offer("local here-1", gpu=""),))
        shared = {
            "redis": company.redis,
            "log": company.log,
            "drivers": {cloud: {"fake": company.cloud, "local": self.local}[cloud] for cloud in clouds},
            "environ": {"HF_TOKEN": "a-token-of-the-hub"},
            "installation": installation,
            "machine_lease": LEASE,
            "control_lease": timedelta(seconds=10),
            "clock": lambda: company.now,
            "host": name,
        }
        rungs = ladder(rung)
        self.advance = Advance(
            ladder=lambda *_: (rungs, ""), forward=lambda *sent: company.forwarded.append(sent), **shared
        )
        self.sweeper = Sweeper(nudge=company.nudged.append, every=timedelta(seconds=1), **shared)
