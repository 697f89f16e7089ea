"""A simulated day of spot: the real control loop on a virtual clock, GCE's stand-in, and seeded interruptions."""

import contextlib
import logging
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from msgspec.structs import replace
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rich.console import Console

from recipes.loader import find, load
from recipes.schema import Accelerator, ReplicaPolicy
from tests.builders.events import requested
from tests.fakes.booting import BootingMachines
from tests.spot_outcome import ON_DEMAND, ONE_FIXED, ONE_ZONE, OURS, THEIRS, WANTED, ZONES, Outcome, table, under
from tests.spot_weather import DAY, GRAIN, weather
from workers.clouds.driver import DriverError
from workers.clouds.gcp.driver import GcpDriver
from workers.clouds.gcp.instance import name_of
from workers.control import sweeper as sweeper_module
from workers.control.advance import Advance
from workers.control.sweeper import Sweeper
from workers.decision.next_step import Wait, next_step
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.events import (
    EndpointPublished,
    KeepTryingRequested,
    OfferRefused,
    ReplicaDrained,
    StopRequested,
)
from workers.deployment.keys import new_key
from workers.deployment.log import Log, new_id, stamp
from workers.deployment.state import fold
from workers.placement import catalog
from workers.placement.limits import Limits
from workers.placement.planner import plan
from workers.processes import Children
from workers.sandbox.gce.cloud import id_of, is_spot
from workers.sandbox.gce.faults import LAUNCHES, Fault
from workers.sandbox.gce.server import Server
from workers.sandbox.valkey import free_port, valkey

MACHINE = "a2-highgpu-4g"
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
WARM_UP = timedelta(minutes=15)
"""Time before the day begins, in which all replicas start."""

LOOK_LEAST = timedelta(minutes=5)
"""Step of the virtual clock when nothing changes."""

BOOTS = (180, 300)
"""Minimum and maximum time from a machine's creation until its engine answers, in seconds."""

MACHINE_LEASE = timedelta(hours=24)
KEEPS_TRYING = timedelta(minutes=5)
INSTALLATION = "i-spot-day"


class Day:
    """One policy and one weather. Only the machines, their ends and the gateway are simulated."""

    def __init__(self, redis, policy, seed):
        self.now = NOON
        self.policy, self.weather = policy, weather(seed, ZONES)
        self.outcome = Outcome(policy=policy, seed=seed)
        self._began = NOON + WARM_UP
        self._silent_since = None
        self._weather_seen = -WARM_UP
        redis.flushall()
        port = free_port()
        self._machines = BootingMachines(lambda: self.now, lambda n: boots_in(seed, n), port, seed)
        self._server = Server(0, self._machines, clock=lambda: self.now)
        self._cloud = self._server.cloud
        self._cloud._allocates_in = 0
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._prices = {(o.zone, o.spot): o.usd_per_hour for o in sold(ZONES)}
        self._log = Log(redis)
        self._nudged = []
        self._wire(redis)
        self._launch(port)

    def _wire(self, redis):
        environ = {
            "HF_HUB_OFFLINE": "1",
            "GOOGLE_CLOUD_PROJECT": "a-project",
            "MIXTRAL_GCE_ENDPOINT": self._server.url,
            "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
        }
        driver = GcpDriver(environ)
        shared = {
            "redis": redis,
            "log": self._log,
            "drivers": {"gcp": driver},
            "installation": INSTALLATION,
            "environ": environ,
            "machine_lease": MACHINE_LEASE,
            "control_lease": timedelta(seconds=10),
            "clock": lambda: self.now,
        }
        offers = sold(self.policy.zones)

        def ladder(recipe, limits):
            return plan(recipe, offers, Limits(spot=limits.spot), statuses={"gcp": driver.status()}), ""

        self._advance = Advance(ladder=ladder, gateway=self._machines.url, **shared)
        self._sweeper = Sweeper(nudge=self._nudged.append, every=timedelta(seconds=1), **shared)

    def _launch(self, port):
        recipe = load(find("mixtral-8x7b"), {})
        policy = ReplicaPolicy(
            min_replicas=WANTED,
            dynamic_ondemand_fallback=self.policy.fallback,
            base_ondemand_fallback_replicas=self.policy.base,
        )
        [resources] = recipe.resources
        accelerators = (Accelerator(name="A100", count=4),)
        recipe = replace(
            recipe,
            resources=(replace(resources, accelerators=accelerators, ports=(port,)),),
            service=replace(recipe.service, replica_policy=policy),
        )
        limits = Limits(spot=self.policy.spot)
        asked = requested("mixtral", recipe, replicas=WANTED, limits=limits, at=self.now)
        self._id = self._log.open(new_id(), asked, new_key(), "once")
        self.state = fold(self._id, self._log.read(self._id))
        self._known = set()
        # Otherwise a deployment without replicas ends after ten minutes of a dry ladder.
        until = self.now + 2 * DAY
        self._tell(KeepTryingRequested(**stamp(self.now), by="U", every=KEEPS_TRYING, until=until))

    def run(self):
        """Run the day, then `down`."""
        began = time.monotonic()
        ends = self._began + DAY
        with patient():
            while self.now < ends:
                self._control()
                self._let_it_happen()
                self._pass(min(self._pause(), ends - self.now))
            self._silence(answering=True)
            self.outcome.launch_calls = sum(call["method"] in LAUNCHES for call in self._cloud.calls)
            self._down()
        self._account()
        self.outcome.took = time.monotonic() - began
        return self.outcome

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._machines.close()

    def _control(self):
        """One sweep, the nudged advances, and the events that a gateway would append."""
        self._sweeper.sweep()
        while self._nudged:
            try:
                self._advance(self._nudged.pop())
            except DriverError:
                self.outcome.errors += 1
        self._catch_up()
        if self.state.ready and self.state.endpoint is None:
            self._tell(EndpointPublished(**stamp(self.now), url=self._machines.url))
        for attempt in self.state.attempts:
            if attempt.phase is Phase.DRAINING and self.now - attempt.since >= GRAIN:
                self._tell(ReplicaDrained(**stamp(self.now), attempt=attempt.number))

    def _tell(self, event):
        self._log.record(self._id, self.state.version, [event])
        self._catch_up()

    def _catch_up(self):
        news = self._log.read(self._id, after=self.state.version)
        self.state = fold(self._id, news, onto=self.state)
        # Attempts leave the state, and events the log.
        self._known |= {name_of(attempt.request.token) for attempt in self.state.attempts}
        self.outcome.drained += sum(isinstance(event, ReplicaDrained) for event in news)
        self.outcome.refused += sum(isinstance(event, OfferRefused) for event in news)

    def _let_it_happen(self):
        """Apply the weather since the last call. The control loop observes it at its next sweep."""
        since, at = self._weather_seen, self.now - self._began
        self._weather_seen = at
        short = [s for s in self.weather.spells if s.begins <= at < s.ends]
        with self._cloud.changed:
            self._cloud.faults.clear()
            for spell in short:
                fault = Fault(code="ZONE_RESOURCE_POOL_EXHAUSTED", zone=spell.zone, lifecycle=spell.lifecycle)
                self._cloud.faults.add(fault)
        for spell in short:
            if since < spell.begins and spell.lifecycle == "spot":
                self._take_back(self._spot_in(spell.zone))
        for taking in self.weather.takings:
            if since < taking.at <= at and (there := self._spot_in(taking.zone)):
                self._take_back([there[int(taking.drawn * len(there))]])

    def _spot_in(self, zone):
        return sorted(key for key, one in self._cloud.instances.items() if key[0] == zone and is_spot(one))

    def _take_back(self, keys):
        for zone, name in keys:
            operation = self._cloud.remove("a-project", zone, name, "compute.instances.preempted")
            self._cloud.wait(operation["name"])
            self.outcome.preempted += 1

    def _pause(self):
        """The next time at which something can happen: one grain later if anything is in progress or unknown."""
        moving = any(a.phase in MAY_COST - {Phase.READY} for a in self.state.attempts)
        running = {name for _, name in self._cloud.instances}
        if moving or running != {name_of(a.request.token) for a in self.state.ready}:
            return GRAIN
        step = next_step(self.state, self.now)
        if not isinstance(step, Wait):
            return GRAIN
        at = self.now - self._began
        pauses = [LOOK_LEAST, *(change - at for change in self.weather.changes() if change > at)]
        if self.now < self._began:
            pauses.append(self._began - self.now)
        if step.until is not None:
            pauses.append(max(-((self.now - step.until) // GRAIN), 1) * GRAIN)
        return min(pauses)

    def _pass(self, pause):
        """Advance the clock, and count what ran meanwhile."""
        with self._cloud.changed:
            there = dict(self._cloud.instances)
        out = self.outcome
        out.most_at_once = max(out.most_at_once, len(there))
        paid = sum((self._prices[zone, is_spot(one)] for (zone, _), one in there.items()), Decimal(0))
        cost = paid * Decimal(pause.total_seconds()) / 3600
        out.usd_billed += cost
        if self.now >= self._began and self.state.stopped_by is None:
            out.usd += cost
            for one in there.values():
                out.spot_time += pause if is_spot(one) else timedelta()
                out.on_demand_time += timedelta() if is_spot(one) else pause
            routed = {name_of(a.request.token) for a in self.state.ready}
            serving = [n for (_, n), one in there.items() if n in routed and self._machines.answers(id_of(one))]
            out.replica_time += pause * min(len(serving), WANTED)
            out.answering += pause if serving else timedelta()
            self._silence(answering=bool(serving))
        self.now += pause

    def _silence(self, *, answering):
        if answering and self._silent_since is not None:
            silence = self.now - self._silent_since
            self.outcome.longest_silence = max(self.outcome.longest_silence, silence)
            self._silent_since = None
        elif not answering and self._silent_since is None:
            self._silent_since = self.now

    def _down(self):
        self._tell(StopRequested(**stamp(self.now), by="U"))
        for _ in range(20):
            self._control()
            if self.state.ended and not self._cloud.instances:
                return
            self._pass(GRAIN)

    def _account(self):
        out = self.outcome
        made = [machine.rpartition("-")[0] for machine in self._machines.booted]
        out.machines = len(made)
        out.unknown = tuple(sorted(set(made) - self._known))
        out.twice = tuple(sorted({name for name in made if made.count(name) > 1}))
        out.left = tuple(sorted(name for _, name in self._cloud.instances))
        out.events = self.state.version
        out.usd_logged = self.state.spent(self.now)


def boots_in(seed, number):
    """Time from creation to answer of the n-th machine of the day."""
    return GRAIN * round(Random(f"{seed} boots {number}").uniform(*BOOTS) / GRAIN.total_seconds())


def sold(zones):
    """The price table's rows for the machine in these zones, spot and on demand."""
    return tuple(o for o in catalog.load() if o.zone in zones and o.instance_type == MACHINE)


@contextlib.contextmanager
def patient():
    """Wait for the sweep's lists and probes in real time. The virtual clock stands still meanwhile."""
    before = sweeper_module.ANSWERED_WITHIN
    sweeper_module.ANSWERED_WITHIN = 30.0
    try:
        yield
    finally:
        sweeper_module.ANSWERED_WITHIN = before


def day(redis, policy, seed):
    """Run one policy in one weather, and return the outcome."""
    played = Day(redis, policy, seed)
    with contextlib.closing(played):
        return played.run()


@contextlib.contextmanager
def own_redis():
    """A Valkey. A context manager."""
    children, port = Children(), free_port()
    with tempfile.TemporaryDirectory(prefix="mixtral-spot-day-") as folder:
        children.start(valkey(port, Path(folder) / "valkey", Path(folder) / "valkey.log"))
        client = Redis(port=port)
        try:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                with contextlib.suppress(RedisConnectionError):
                    client.ping()
                    break
                time.sleep(0.05)
            yield client
        finally:
            client.close()
            children.stop()


def rows(seed=2):
    """Rows (name, value, reference) for `make bench`."""
    with own_redis() as redis:
        ours, on_demand, one_zone = (day(redis, policy, seed) for policy in (OURS, ON_DEMAND, ONE_ZONE))
    for outcome in (ours, on_demand, one_zone):
        measured = f"{outcome.availability:.2%} answering, {outcome.mean_ready:.1%} of {WANTED} ready"
        reference = f"{outcome.usd:.0f} USD, {outcome.launch_calls} launch calls, {outcome.preempted} preemptions"
        yield f"a day of {outcome.policy.name}", measured, reference
    short = ", ".join(f"{weather(seed, ZONES).bad(zone) / timedelta(hours=1):.1f}" for zone in ZONES)
    yield "", f"hours without spot in its zones: {short}", ""
    spot, on_demand_price = (min(o.usd_per_hour for o in sold(ZONES) if o.spot == life) for life in (True, False))
    measured = f"{under(ours, on_demand):.0f} % below on demand"
    yield (
        "saving of a day of spot",
        measured,
        f"{100 * (1 - spot / on_demand_price):.0f} % is the maximum at these prices; {THEIRS}",
    )


def main(seeds):
    """Print a table of several days."""
    logging.disable(logging.CRITICAL)
    with own_redis() as redis:
        days = [[day(redis, policy, seed) for policy in (ON_DEMAND, ONE_ZONE, OURS, ONE_FIXED)] for seed in seeds]
    Console(width=200).print(table(days))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or range(1, 4))
