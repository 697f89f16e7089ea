"""Time from a new replica's first answer to its ReplicaReady, and the sweeper's CPU, among thousands of others."""

import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis import Redis

from recipes.loader import find, load
from tests.builders.logs import append
from tests.builders.machines import INSTALLATION
from tests.builders.story import Story
from tests.many_replicas import NEVER, Replicas
from tests.measured import show
from tests.scale import Listed, sighting
from workers.control.sweeper import Sweeper
from workers.deployment.events import DeploymentId, ReplicaReady
from workers.deployment.keys import new_key
from workers.deployment.log import Log, new_id
from workers.placement import catalog
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan
from workers.processes import Children, die_with_parent, raise_descriptors
from workers.sandbox.valkey import free_port, valkey
from workers.writable import wait_for

DEPLOYMENTS = 1000
REPLICAS = 3
NEW = 7
"""New replicas that are measured in each scene, one after another."""

SCENES = (
    ("probes of 50 ms", 0.05, 0, 2),
    ("probes of 500 ms", 0.5, 0, 3),
    ("probes of 2 s", 2.0, 0, 5),
    ("probes of 50 ms, 1,000 replicas hang", 0.05, 1000, 2),
)
"""(description, delay of every answer in seconds, number that hang, limit in seconds)"""

SIZES = (250, 500, 1000)
CPU_SECONDS = 30

_fork = multiprocessing.get_context("fork")


def rows():
    """Rows (name, value, reference) for `make bench`. Takes about five minutes."""
    yield "excluded below: the first sweep, which reads every log; the machines' creation; the card", "", ""
    per = []
    for size in SIZES:
        with House(size, 0.05) as house:
            cpu = house.cpu(CPU_SECONDS)
        per.append(cpu / size / REPLICAS)
        name = f"{size * REPLICAS} ready replicas, probes of 50 ms: the sweeper's CPU"
        yield name, f"{cpu:.0%} of a core", f"{per[-1] * 1e6:.0f} µs/s per replica, {per[-1] / per[0]:.2f} x the first"
    for what, delay, hanging, limit in SCENES:
        with House(DEPLOYMENTS, delay) as house:
            house.replicas.slow_down(*range(hanging), delay=NEVER)
            time.sleep(15 if hanging else 0)
            took = sorted(house.told(n) for n in range(NEW))
        median = statistics.median(took)
        name = f"{DEPLOYMENTS * REPLICAS} replicas, {what}: readiness of a new one is told, median of {NEW}"
        reference = f"longest {took[-1]:.2f} s; limit {limit} s, {limit / took[-1]:.1f} x the longest"
        yield name, f"{median:.2f} s", f"{reference}; load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"


class House:
    """A Valkey with deployments at rest, their replicas, and a sweeper in a process of its own."""

    def __init__(self, size, delay):
        self.size, self.replicas = size, Replicas(delay)
        self.new: list[DeploymentId] = []
        self.recipe = load(find("mixtral-8x7b", ()), {})
        clouds = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}
        self.rungs = plan(self.recipe, catalog.load(None), statuses=clouds)

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="mixtral-probes-")
        folder, port = Path(self._folder.name), free_port()
        self.replicas.__enter__()
        self.replicas.listen(*range(self.size * REPLICAS))
        self._children = Children()
        self._children.start(valkey(port, folder / "valkey", folder / "valkey.log"))
        self.redis = Redis(port=port)
        wait_for(self.redis)
        sightings = [s for n in range(self.size) for s in self._fill(n)]
        sightings += [s for n in range(NEW) for s in self._waiting(n)]
        ours, theirs = _fork.Pipe()
        self.pipe = ours
        self._sweeper = _fork.Process(target=_sweep, args=(theirs, port, sightings, os.getpid()), daemon=True)
        self._sweeper.start()
        assert self.pipe.recv() == "swept"
        time.sleep(12)  # every ready replica has had its first turn
        return self

    def __exit__(self, *_):
        self._sweeper.kill()
        self._sweeper.join()
        self.redis.close()
        self._children.stop()
        self.replicas.__exit__()
        self._folder.cleanup()

    def cpu(self, seconds):
        """CPU seconds of the sweeper per second."""
        before, began = self._cpu(), time.monotonic()
        time.sleep(seconds)
        return (self._cpu() - before) / (time.monotonic() - began)

    def told(self, number):
        """Seconds from the first moment at which a new replica would answer to its ReplicaReady."""
        time.sleep(0.37 * number % 1.0)  # at another phase of the sweep each time
        log, id_ = Log(self.redis), self.new[number]
        self.replicas.listen(self._new(number))
        began = datetime.now(UTC)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for event in log.read(id_):
                if isinstance(event, ReplicaReady):
                    return (event.at - began).total_seconds()
            time.sleep(0.05)
        return float("inf")

    def _cpu(self):
        self.pipe.send("cpu")
        return self.pipe.recv()

    def _new(self, number):
        return self.size * REPLICAS + number

    def _fill(self, number):
        story = self._story(f"m-{number}", REPLICAS)
        for replica in range(REPLICAS):
            story.asked().created(self.replicas.address(number * REPLICAS + replica)).ready()
        append(self.redis, story.published(self.replicas.address(0)).tested(), new_key())
        return [sighting(story.id, attempt) for attempt in story.state.attempts]

    def _waiting(self, number):
        """A deployment whose only replica does not listen yet."""
        story = self._story(f"new-{number}", 1)
        append(self.redis, story.asked().created(self.replicas.address(self._new(number))), new_key())
        self.new.append(story.id)
        return [sighting(story.id, attempt) for attempt in story.state.attempts]

    def _story(self, name, replicas):
        story = Story(name, self.recipe, replicas=replicas, id_=new_id(), at=datetime.now(UTC))
        return story.planned(*self.rungs)


def _sweep(pipe, port, sightings, parent):
    die_with_parent(parent)
    descriptors = raise_descriptors()
    redis = Redis(port=port)
    sweeper = Sweeper(
        redis=redis,
        log=Log(redis),
        drivers={s.machine.cloud: Listed(s.machine.cloud, sightings) for s in sightings[:1]},
        nudge=lambda _: None,
        installation=INSTALLATION,
        environ={},
        machine_lease=timedelta(hours=24),
        control_lease=timedelta(seconds=10),
        every=timedelta(seconds=1),
        clock=lambda: datetime.now(UTC),
        probes_at_once=descriptors * 3 // 4,
    )
    sweeper.sweep()
    threading.Thread(target=sweeper.run, args=(threading.Event(),), daemon=True).start()
    pipe.send("swept")
    while pipe.recv():
        pipe.send(time.process_time())


if __name__ == "__main__":
    show("probes at scale", rows())
