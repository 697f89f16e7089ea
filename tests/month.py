"""A simulated month: the real control loop on a virtual clock, both clouds' stand-ins, spot, and a change of clocks.

The clouds write what they bill. The ledger and the digests must tell the same.
"""

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from random import Random
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from recipes.loader import find, load
from recipes.schema import Accelerator
from tests.builders.events import PLACE, requested
from tests.fakes.aws import KEYS
from tests.fakes.booting import BootingMachines
from tests.month_approvals import ApprovedLaunches
from tests.spot_day import boots_in, patient
from tests.spot_weather import GRAIN
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.driver import Driver, DriverError
from workers.clouds.gcp.driver import GcpDriver
from workers.control.advance import Advance
from workers.control.sweeper import Sweeper
from workers.decision.end_time import NOTICE
from workers.decision.next_step import Wait, next_step
from workers.decision.opening import opens_at, pauses_at
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.events import EndpointPublished, ReplicaDrained, ScaleRequested, StopRequested
from workers.deployment.keys import new_key
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log, new_id, stamp
from workers.deployment.state import fold
from workers.placement import catalog, shared_prices
from workers.placement.limits import Limits
from workers.placement.planner import plan
from workers.placement.prices import as_csv
from workers.placement.shared_prices import SharedPrices
from workers.sandbox.ec2.server import Server as Ec2
from workers.sandbox.gce.cloud import is_spot
from workers.sandbox.gce.server import Server as Gce
from workers.sandbox.valkey import free_port

PARIS = ZoneInfo("Europe/Paris")
BEGINS = datetime(2026, 10, 5, tzinfo=PARIS)
"""A Monday. The clocks change on 25 October."""

DAYS = 30
DAY = timedelta(days=1)
STRIDE = timedelta(hours=2)
"""Step of the virtual clock when nothing changes."""

AFTERWARDS, RESTS_AFTER = timedelta(minutes=3), timedelta(minutes=12)
"""Step of the clock after something has happened, and for how long: EC2 lists an ended machine for an hour only."""

SOLD = {("gcp", "a2-highgpu-1g"), ("aws", "g5.12xlarge")}
ON_GCP, ON_AWS = Accelerator(name="A100", count=1), Accelerator(name="A10G", count=4)
HOURS = "mon-sun 09:00-12:00 Europe/Paris"
RESEARCH, SALES = "C0GENERAL01", "C0MIXTRAL01"


class Month:
    """What happens is in `deeds`: (when, what). Only the machines, their ends, people and the gateway are simulated."""

    def __init__(self, redis, seed):
        self.now = BEGINS.astimezone(UTC)
        self._redis, self._random = redis, Random(f"{seed} month")
        redis.flushall()
        self._port = free_port()
        self._machines = BootingMachines(lambda: self.now, lambda n: boots_in(seed, n), self._port, seed)
        self.gce = Gce(0, self._machines, clock=lambda: self.now)
        self.gce.cloud._allocates_in = 0
        self.ec2 = Ec2(0, self._machines, clock=lambda: self.now)
        for server in (self.gce, self.ec2):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.offers = [o for o in catalog.load() if (o.cloud, o.instance_type) in SOLD and _is_near(o)]
        self._prices = {(o.zone, o.instance_type, o.spot): [(self.now, o.usd_per_hour)] for o in self.offers}
        self._log = Log(redis)
        self._nudged, self.states, self.errors, self.preempted = [], {}, 0, 0
        self._moved_at = self.now
        self._wire()
        self.deeds = sorted(self._planned(), key=lambda deed: deed[0])

    def _wire(self):
        environ = {
            "HF_HUB_OFFLINE": "1",
            "HOME": "/nonexistent",
            "GOOGLE_CLOUD_PROJECT": "a-project",
            "MIXTRAL_GCE_ENDPOINT": self.gce.url,
            "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
            "AWS_ENDPOINT_URL": self.ec2.url,
            "AWS_REGION": "us-east-1",
            **KEYS,
        }
        drivers: dict[str, Driver] = {"gcp": GcpDriver(environ), "aws": AwsDriver(environ, prices=lambda: self.offers)}
        shared = {
            "redis": self._redis,
            "log": self._log,
            "drivers": drivers,
            "installation": "i-month",
            "environ": environ,
            "machine_lease": timedelta(hours=24),
            "control_lease": timedelta(seconds=10),
            "clock": lambda: self.now,
        }

        def ladder(recipe, limits):
            statuses = {cloud: driver.status() for cloud, driver in drivers.items()}
            return plan(recipe, self.offers, limits, statuses=statuses), ""

        recipe = self._recipe(ON_AWS, replicas=1)
        self.approvals = ApprovedLaunches(self._redis, recipe, ladder, SALES, clock=lambda: self.now)
        self._advance = Advance(ladder=ladder, gateway=self._machines.url, **shared)
        self._sweeper = Sweeper(nudge=self._nudged.append, every=timedelta(seconds=1), **shared)

    def _planned(self):
        """The deeds of people, and when spot machines are taken away."""
        at, random = self.now, self._random
        yield at, lambda: self._launch("spot-gcp", ON_GCP, RESEARCH, replicas=2, spot=True)
        yield at + timedelta(hours=5), lambda: self._launch("spot-aws", ON_AWS, SALES, spot=True)
        for day in range(2, DAYS - 2, 4):
            number = random.choice([1, 2, 3])
            yield at + day * DAY + timedelta(hours=11), lambda n=number: self._scale("spot-gcp", n)
        for day in (3, 12, 18, 19, 20, 26):  # 24, 25 and 26 October among them
            local = (BEGINS + day * DAY).replace(hour=23, minute=30)
            until = (BEGINS + (day + 1) * DAY).replace(hour=18)
            name = f"until-{until:%m-%d}"
            yield local.astimezone(UTC), lambda n=name, u=until: self._launch(n, ON_AWS, RESEARCH, spot=False, until=u)
        yield (
            (BEGINS + 17 * DAY).replace(hour=10),
            lambda: self._launch("hours", ON_AWS, SALES, spot=False, hours=HOURS),
        )
        yield (BEGINS + 23 * DAY).replace(hour=11), lambda: self._tell("hours", StopRequested, by="U")
        yield from self.approvals.planned((BEGINS + 7 * DAY).replace(hour=9, minute=30).astimezone(UTC))
        for day in range(1, DAYS, 3):
            yield at + day * DAY + timedelta(minutes=random.randrange(1440)) // GRAIN * GRAIN, self._refresh
        for _ in range(24):
            yield at + random.uniform(1, DAYS - 1) * DAY // GRAIN * GRAIN, self._take_back
        for name in ("spot-gcp", "spot-aws"):
            yield at + DAYS * DAY - timedelta(hours=3), lambda n=name: self._tell(n, StopRequested, by="U")

    def run(self):
        """Run the month. Everything has ended afterwards."""
        ends = (BEGINS + DAYS * DAY).astimezone(UTC) + timedelta(hours=1)
        with patient():
            while self.now < ends:
                while self.deeds and self.deeds[0][0] <= self.now:
                    self.deeds.pop(0)[1]()
                self._meet()
                self._control()
                self.now += min(self._pause(), ends - self.now)
            for _ in range(3):
                self.now += timedelta(minutes=6)
                self._control()
        return Ledger(self._redis).book()

    def billed(self):
        """What both clouds bill, each with its prices and the times from which they are in force."""
        return [
            (one, self._prices[one.zone, one.instance_type, one.spot])
            for one in (*self.gce.cloud.bill, *self.ec2.cloud.lives.bill)
        ]

    def close(self):
        for server in (self.gce, self.ec2):
            server.shutdown()
            server.server_close()
        self._machines.close()

    def _recipe(self, accelerator, replicas):
        recipe = load(find("mixtral-8x7b"), {})
        [resources] = recipe.resources
        policy = replace(recipe.service.replica_policy, min_replicas=replicas)
        return replace(
            recipe,
            resources=(replace(resources, accelerators=(accelerator,), ports=(self._port,)),),
            service=replace(recipe.service, replica_policy=policy),
        )

    def _launch(self, name, accelerator, channel, *, replicas=1, spot, **clocks):
        recipe = self._recipe(accelerator, replicas)
        place = replace(PLACE, channel=channel)
        limits = Limits(spot=spot)
        asked = requested(name, recipe, replicas=replicas, limits=limits, at=self.now, place=place, **clocks)
        id_ = self._log.open(new_id(), asked, new_key(), name)
        self.states[name] = fold(id_, self._log.read(id_))

    def _refresh(self):
        """The clouds change their spot prices, and a worker reads them in the same second."""
        table = []
        for row in catalog.shipped():
            if (row.zone, row.instance_type, True) in self._prices and row.spot is not None:
                spot = (row.spot * Decimal(self._random.uniform(0.7, 1.3))).quantize(Decimal("0.0001"))
                row = replace(row, spot=spot, spot_read_on=self.now.date().isoformat())  # noqa: PLW2901
                self._prices[row.zone, row.instance_type, True].append((self.now, spot))
            table.append(row)
        now = {place: prices[-1][1] for place, prices in self._prices.items()}
        self.offers = [replace(o, usd_per_hour=now[o.zone, o.instance_type, o.spot]) for o in self.offers]
        shared_prices.store(self._redis, SharedPrices(table=as_csv(table), tried_at=self.now))

    def _scale(self, name, replicas):
        self._tell(name, ScaleRequested, replicas=replicas, by="U")

    def _tell(self, name, event, **fields):
        state = self.states[name]
        self._log.record(state.id, state.version, [event(**stamp(self.now), **fields)])
        self._catch_up(name)

    def _meet(self):
        """Follow what the bot has launched, too."""
        for state in self.approvals.running():
            if state.name not in self.states:
                self.states[state.name] = state
                self._moved_at = self.now

    def _catch_up(self, name):
        state = self.states[name]
        if news := self._log.read(state.id, after=state.version):
            self._moved_at = self.now
            self.states[name] = fold(state.id, news, onto=state)

    def _take_back(self):
        """A cloud takes one of its spot machines back."""
        with self.gce.cloud.changed:
            there = sorted(key for key, one in self.gce.cloud.instances.items() if is_spot(one))
        with self.ec2.cloud.lock:
            lives = self.ec2.cloud.lives
            there += sorted(("", id_) for id_, life in lives._living() if life.pool.spot)
        if not there:
            return
        zone, machine = self._random.choice(there)
        self.preempted += 1
        if zone:
            operation = self.gce.cloud.remove("a-project", zone, machine, "compute.instances.preempted")
            self.gce.cloud.wait(operation["name"])
        else:
            with self.ec2.cloud.lock:
                lives.end(machine, "preempt")

    def _control(self):
        """One sweep, the nudged advances, and the events that a gateway would append."""
        self._sweeper.sweep()
        while self._nudged:
            try:
                self._advance(self._nudged.pop())
            except DriverError:
                self.errors += 1
        for name in list(self.states):
            self._catch_up(name)
            state = self.states[name]
            if state.ready and state.endpoint is None:
                self._tell(name, EndpointPublished, url=self._machines.url)
            for attempt in state.attempts:
                if attempt.phase is Phase.DRAINING and self.now - attempt.since >= GRAIN:
                    self._tell(name, ReplicaDrained, attempt=attempt.number)

    def _pause(self):
        """The next time at which something can happen: one grain later if anything is in progress."""
        running = [state for state in self.states.values() if not state.ended]
        if any(a.phase in MAY_COST - {Phase.READY} for state in running for a in state.attempts):
            return GRAIN
        pauses = [
            STRIDE if self.now - self._moved_at > RESTS_AFTER else AFTERWARDS,
            *(at - self.now for at, _ in self.deeds[:1]),
        ]
        ends = [at for state in running if state.until for at in (state.until - NOTICE, state.until)]
        pausing = [at for state in running if (at := pauses_at(state, self.now))]
        opening = [at for state in running if (at := opens_at(state))]
        ends += [*opening, *pausing, *(at - NOTICE for at in pausing)]
        pauses += [at - self.now for at in ends if at > self.now]
        for state in running:
            step = next_step(state, self.now)
            if not isinstance(step, Wait):
                return GRAIN
            if step.until is not None:
                pauses.append(max(-((self.now - step.until) // GRAIN), 1) * GRAIN)
        return max(min(pauses), timedelta(seconds=1))


def cost_of(billed, since=None, until=None):
    """USD of machine-seconds of a bill between two times."""
    total = Decimal(0)
    for one, prices in billed:
        began = one.began if since is None else max(one.began, since.astimezone(UTC))
        ended = one.ended if until is None else min(one.ended, until.astimezone(UTC))
        for (at, price), after in zip_longest(prices, [at for at, _ in prices[1:]], fillvalue=ended):
            seconds = (min(ended, after) - max(began, at)).total_seconds()
            total += price * Decimal(max(seconds, 0)) / 3600
    return total


@contextlib.contextmanager
def played(redis, seed):
    """A month and its ledger. A context manager."""
    month = Month(redis, seed)
    with contextlib.closing(month):
        yield month, month.run()


def _is_near(offer):
    """Whether a machine of this offer is bought in this month: few zones, so that they are listed quickly."""
    return offer.zone.startswith(("us-central1-", "use1-"))
