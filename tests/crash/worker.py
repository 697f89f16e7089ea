"""A worker's advance and sweeper in one process, on a virtual clock."""

import contextlib
import logging
import time
from datetime import UTC, datetime, timedelta

from redis import Redis

from tests.builders.offers import ladder
from tests.crash.mortal import MortalDriver, MortalLog, Steps
from tests.fakes.gateway import route
from tests.fakes.probes import told
from workers.clouds.aws import templates as aws_templates
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.driver import DriverError
from workers.clouds.gcp import driver as gcp_module
from workers.clouds.gcp.driver import GcpDriver
from workers.control import advance as advance_module
from workers.control import machine_ends, reaping
from workers.control import sweeper as sweeper_module
from workers.control.advance import Advance
from workers.control.observing import LIST_IDLE_EVERY
from workers.control.sweeper import Sweeper
from workers.deployment.attempt import Phase
from workers.deployment.state import fold
from workers.placement import catalog
from workers.serving.probe import TestAnswer

SOLD = {"aws": (("us-east-1", "p4d.24xlarge"),), "gcp": (("us-central1", "a2-highgpu-1g"),)}
ROUND = timedelta(seconds=10)
ROUNDS = 25
MACHINE_LEASE = timedelta(hours=24)


class NoLease:
    """A lease that is always granted, for two workers as after a pause that is longer than the lease."""

    def __init__(self, *_args):
        pass

    @contextlib.contextmanager
    def held(self):
        yield True


def offers(cloud, *, alone=False):
    """Offers of one type in one region: all zones, or the first."""
    found = [
        o for o in catalog.load() if o.cloud == cloud and not o.spot and (o.region, o.instance_type) in SOLD[cloud]
    ]
    return found[:1] if alone else found


def driver_of(cloud, environ):
    if cloud == "gcp":
        return GcpDriver(environ)
    return AwsDriver(environ, prices=lambda: offers("aws"))


def settled(state):
    """Whether nothing is left to do."""
    if state.stopped_by is not None:
        return state.ended is not None and all(a.phase is not Phase.SHUTTING_DOWN for a in state.attempts)
    if any(a.phase is Phase.SHUTTING_DOWN for a in state.attempts):
        return False
    draining = any(a.phase is Phase.DRAINING for a in state.attempts)
    return len(state.ready) == len(state.live) == state.wanted and state.test is not None and not draining


class Worker:
    """Must be created in the process that uses it."""

    def __init__(self, life, point=None, *, leased=True):
        logging.disable(logging.CRITICAL)
        _play_the_engines()
        if not leased:
            vars(advance_module).update(Lease=NoLease)
        self.id = life.id
        self.ahead = life.ahead
        self.steps = Steps(point)
        self.nudged = [life.id]
        redis = Redis.from_url(life.redis_url)
        self.log = MortalLog(redis, self.steps)
        drivers = {life.cloud: MortalDriver(driver_of(life.cloud, life.environ), self.steps)}
        rungs = ladder(*offers(life.cloud, alone=life.alone))
        shared = {
            "redis": redis,
            "log": self.log,
            "drivers": drivers,
            "installation": life.installation,
            "environ": life.environ,
            "machine_lease": MACHINE_LEASE,
            "control_lease": timedelta(seconds=10),
            "clock": lambda: datetime.now(UTC) + self.ahead,
        }
        self.advance = Advance(ladder=lambda *_: (rungs, ""), **shared)
        self.sweeper = Sweeper(nudge=self.nudged.append, every=timedelta(seconds=1), **shared)

    def state(self):
        return fold(self.id, self.log.read(self.id))

    def run(self, *, after=0.0, rounds=ROUNDS):
        """Run until all is settled, or for a limited number of rounds. Returns the labels of the steps."""
        time.sleep(after)
        for _ in range(rounds):
            self.act()
            route(self.log, self.state(), datetime.now(UTC) + self.ahead)
            self.act()
            if settled(self.state()):
                break
            self.sweeper.sweep()
            self.ahead += ROUND
        return self.steps.done

    def check(self):
        state = self.state()
        if settled(state):
            return
        phases = [(a.number, a.replica, a.phase.value, a.progress, a.why) for a in state.attempts]
        raise AssertionError(f"not settled: wants {state.wanted}, {phases}, steps {self.steps.done[-20:]}")

    def run_on(self, *, after=0.0):
        """Run until all is settled, and then until late machines and launch templates have been found."""
        self.run()
        self.check()
        time.sleep(after)  # a call may still be in progress in the cloud
        aws_templates.LEFT_OVER_AFTER = timedelta(0)
        aws_templates.REAP_EVERY = timedelta(0)
        for _ in range(2):
            self.ahead += LIST_IDLE_EVERY
            self.sweeper.sweep()
            self.act()
        self.run()
        self.check()
        return self.steps.done

    def act(self):
        while self.nudged:
            with contextlib.suppress(DriverError):  # the sweeper nudges again, as after a failed job
                self.advance(self.nudged.pop())


def _play_the_engines():
    """Probes pass as soon as there is an address. Other suites test the probes."""
    sweeper_module.ANSWERED_WITHIN = machine_ends.ANSWERED_WITHIN = reaping.ENDED_WITHIN = 30.0
    gcp_module.LOOK_EVERY = timedelta(seconds=0.05)
    vars(sweeper_module).update(probe=told(None), cannot_complete=told(None), key_is_enforced=told(True))
    vars(advance_module).update(completion=lambda *_, **__: TestAnswer(text="mustard", seconds=0.1))
