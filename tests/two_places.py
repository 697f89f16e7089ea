"""A deployment with a replica in each of two places of one cloud, of which one fails: control loop and real drivers."""

import os
from datetime import UTC, datetime, timedelta

from google.oauth2.credentials import Credentials
from moto.ec2.models import ec2_backends

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes.aws import KEYS, AwsCloud
from tests.fakes.driver import FakeDriver
from tests.fakes.gcp import GcpCloud
from tests.fakes.probes import told
from tests.fakes.unhurried import unhurried
from workers.api import Deployments
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.driver import DriverError, NoAnswer, Refused
from workers.clouds.gcp.instance import name_of
from workers.control.advance import Advance
from workers.control.sweeper import Sweeper
from workers.deployment.log import Log
from workers.placement.limits import Limits
from workers.placement.refusals import Scope
from workers.serving.probe import TestAnswer

LEASE = timedelta(seconds=120)


class FakePlaces:
    """Two regions of a cloud in memory, whose machines end at their expiry."""

    names = ("east", "west")
    faults = ("denied", "silent")

    def __init__(self, clock):
        self.driver = FakeDriver("fake", clock=clock)
        self.full = None
        self.driver.refuse = self._refuse

    def offers(self):
        return tuple(offer(f"fake {name}-1", 1 + n, gpu="") for n, name in enumerate(self.names))

    def _refuse(self, one):
        if one.region != self.full:
            return None
        return Refused("It has no capacity.", code="InsufficientInstanceCapacity", scope=Scope.ZONE)

    def fail(self, place, fault):
        kind = NoAnswer if fault == "silent" else DriverError
        self.driver.failing[place] = kind(f"{place} is {fault}")

    def mend(self):
        self.driver.failing.clear()
        self.full = None

    def delete(self, token):
        self.driver.end(token, "deleted")

    def runs(self, token):
        return token in self.driver.running()

    def expiry(self, token):
        return self.driver.expiry(token)

    def close(self):
        pass


class AwsPlaces:
    """Two regions of the EC2 stand-in. One of them is the home region."""

    names = ("us-east-1", "us-east-2")
    faults = ("denied", "denied", "unavailable", "lists denied")

    def __init__(self, folder):
        self.cloud = AwsCloud()
        self.file = folder / "credentials"
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(self.file)
        self.write_key("first")
        environ = {key: value for key, value in self.cloud.environ.items() if key not in KEYS}
        environ["AWS_SHARED_CREDENTIALS_FILE"] = str(self.file)
        self.driver = AwsDriver(environ, self.offers)

    def offers(self):
        sold = self.cloud.offers()
        return tuple(next(o for o in sold if (o.instance_type, o.region) == ("p4d.24xlarge", r)) for r in self.names)

    def write_key(self, key):
        self.file.write_text(f"[default]\naws_access_key_id = AKIA{key.upper()}\naws_secret_access_key = of-a-test\n")

    def outdate(self, key):
        self.cloud.fault("ExpiredToken", action="*", key=f"AKIA{key.upper()}")

    @property
    def full(self):
        return None

    @full.setter
    def full(self, place):
        self.cloud.fault("InsufficientInstanceCapacity", region=place)

    def fail(self, place, fault):
        action = "DescribeInstances" if fault == "lists denied" else "*"
        code = "Unavailable" if fault == "unavailable" else "UnauthorizedOperation"
        self.cloud.fault(code, action=action, region=place)

    def mend(self):
        self.cloud.mend()

    def delete(self, token):
        self.cloud.end(token, "delete")

    def _instance(self, token):
        with self.cloud.server.cloud.lock:
            for region in self.names:
                backend = ec2_backends[self.cloud.server.cloud.account][region]
                for instance in [i for r in backend.reservations.values() for i in r.instances]:
                    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
                    if tags["mixtral-token"] == token:
                        return instance, tags
        raise AssertionError(f"{token} was never made")

    def runs(self, token):
        return self._instance(token)[0].state in ("pending", "running")

    def expiry(self, token):
        return datetime.fromisoformat(self._instance(token)[1]["mixtral-expiry"])

    def close(self):
        self.cloud.close()


class GcpPlaces:
    """Two zones of the GCE stand-in."""

    names = ("us-central1-a", "us-central1-c")
    faults = ("unreachable",)

    def __init__(self, folder):
        self.cloud = GcpCloud()
        self.cloud.server.cloud._allocates_in = 0.005
        self.driver = self.cloud.driver
        self.file = folder / "token"
        self.write_key("first")
        options = self.driver.api._client_options
        read = lambda: options() | {"credentials": Credentials(self.file.read_text())}  # noqa: E731 - a method
        self.driver.api._client_options = read  # type: ignore[method-assign] # the stand-in needs no credentials

    def write_key(self, token):
        self.file.write_text(token)

    def outdate(self, token):
        self.cloud.fault("authError", token=token)

    def offers(self):
        sold = self.cloud.offers()
        return tuple(next(o for o in sold if (o.instance_type, o.zone) == ("a2-ultragpu-2g", z)) for z in self.names)

    @property
    def full(self):
        return None

    @full.setter
    def full(self, place):
        self.cloud.fault("ZONE_RESOURCE_POOL_EXHAUSTED", zone=place)

    def fail(self, place, fault):
        self.cloud.fault(fault, zone=place)

    def mend(self):
        self.cloud.mend()

    def delete(self, token):
        self.cloud.end(token, "delete")

    def _instance(self, token):
        found = [i for (_, name), i in list(self.cloud.server.cloud.instances.items()) if name == name_of(token)]
        return found[0] if found else None

    def runs(self, token):
        found = self._instance(token)
        return found is not None and found["status"] != "STOPPING"

    def expiry(self, token):
        found = {item["key"]: item["value"] for item in self._instance(token)["metadata"]["items"]}
        return datetime.fromtimestamp(int(found["mixtral-expiry"]), UTC)

    def close(self):
        self.cloud.close()


class TwoPlaces:
    """The control loop over a cloud with two places, in one thread and on a clock that the test moves."""

    def __init__(self, redis, clock, places, name):
        self.clock = clock
        self.redis = redis
        self.places = places
        self.name = name
        self.cloud = places.driver.cloud
        self.nudged = []
        self.log = Log(redis)
        self.requests = Deployments(redis, self.nudged.append, {})
        self.restart()
        self.id = self.requests.launch(SCRIPTED, name=name, replicas=1, place=PLACE, limits=Limits(), once=name)
        self.until(lambda: len(self.state.ready) == 1)
        places.full = self.place(self.state.ready[0])
        self.requests.scale(self.id, 2, by="U")
        self.until(lambda: len(self.state.ready) == 2)
        places.mend()
        assert {self.place(a) for a in self.state.ready} == set(places.names)

    def restart(self, *, allowed=True):
        """New processes: nothing in memory, and new connections. The sweeper's lists in progress are dropped.

        `allowed`: whether the new ones may use the cloud.
        """
        drivers = {self.cloud: self.places.driver} if allowed else {}
        shared = {
            "redis": self.redis,
            "log": self.log,
            "drivers": drivers,
            "environ": {},
            "installation": f"i-{self.name}",
            "machine_lease": LEASE,
            "control_lease": timedelta(seconds=10),
            "clock": self.clock,
        }
        rungs = ladder(*self.places.offers())
        self.advance = Advance(ladder=lambda *_: (rungs, ""), **shared)
        self.sweeper = Sweeper(nudge=self.nudged.append, every=timedelta(seconds=1), **shared)

    @property
    def state(self):
        return self.requests.by_id(self.id)

    def place(self, attempt):
        return self.places.driver.place(attempt.offer)

    def step(self, seconds=5):
        """A sweep and the jobs that it started; then time passes, and everything is checked."""
        self.sweeper.sweep()
        for id_ in dict.fromkeys([self.nudged.pop() for _ in list(self.nudged)]):
            try:
                self.advance(id_)
            except DriverError:
                continue
        self.clock.now += timedelta(seconds=seconds)

    def until(self, holds, steps=12, seconds=5):
        for _ in range(steps):
            if holds():
                return
            self.step(seconds)
        assert holds(), self.state.attempts


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now


def quiet(monkeypatch):
    """Machines of the stand-ins have no engine: every probe passes. Sweeps have all answers."""
    unhurried(monkeypatch)
    monkeypatch.setattr("workers.control.sweeper.probe", told(None))
    monkeypatch.setattr("workers.control.sweeper.key_is_enforced", told(True))
    monkeypatch.setattr("workers.control.sweeper.cannot_complete", told(None))
    answer = TestAnswer(text="mustard", seconds=0.1)
    monkeypatch.setattr("workers.control.advance.completion", lambda *_, **__: answer)
