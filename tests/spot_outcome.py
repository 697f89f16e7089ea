"""The outcome of a simulated day of spot, compared with other ways to buy the same replicas."""

from datetime import timedelta
from decimal import Decimal

from msgspec import Struct
from rich.table import Table

from tests.rivals import SKYSERVE_SAVING, constant
from tests.spot_weather import DAY

WANTED = 3
ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
THEIRS = constant(f"SkyServe's paper: {SKYSERVE_SAVING} % below on demand")


class Policy(Struct, frozen=True, kw_only=True):
    """What is bought."""

    name: str
    zones: tuple[str, ...] = ZONES
    spot: bool = True
    fallback: bool = False
    base: int = 0


OURS = Policy(name="spot in three zones, on demand as fallback", fallback=True)
ONE_FIXED = Policy(name="the same, one always on demand", fallback=True, base=1)
ON_DEMAND = Policy(name="all on demand", spot=False)
ONE_ZONE = Policy(name="spot in one zone", zones=ZONES[:1])


class Outcome(Struct, kw_only=True):
    """The outcome of a day, measured at the cloud and at the machines."""

    policy: Policy
    seed: int
    answering: timedelta = timedelta()
    """Total time in which at least one replica answered."""
    longest_silence: timedelta = timedelta()
    replica_time: timedelta = timedelta()
    """Sum of the times of ready replicas, not counting more than are wanted."""
    usd: Decimal = Decimal(0)
    usd_logged: Decimal = Decimal(0)
    """The cost according to the log, from the launch to the end."""
    usd_billed: Decimal = Decimal(0)
    """The cost according to the cloud."""
    spot_time: timedelta = timedelta()
    on_demand_time: timedelta = timedelta()
    launch_calls: int = 0
    refused: int = 0
    machines: int = 0
    preempted: int = 0
    drained: int = 0
    events: int = 0
    most_at_once: int = 0
    errors: int = 0
    unknown: tuple[str, ...] = ()
    """Machines that are not in the log."""
    left: tuple[str, ...] = ()
    """Machines that still run after `down`."""
    twice: tuple[str, ...] = ()
    """Names that were given to two machines."""
    took: float = 0.0

    @property
    def availability(self) -> float:
        return self.answering / DAY

    @property
    def mean_ready(self) -> float:
        return self.replica_time / (DAY * WANTED)


def under(outcome, reference):
    """By how many percent `outcome` is cheaper than `reference`."""
    return float(100 * (1 - outcome.usd / reference.usd))


def table(days):
    """One row per outcome. The first outcome of each day is the reference for the others."""
    made = Table(*COLUMNS, box=None, title=f"A day of {WANTED} replicas; {THEIRS}", title_justify="left")
    for outcomes in days:
        for out in outcomes:
            made.add_row(*(str(cell) for cell in _cells(out, outcomes[0])))
    return made


COLUMNS = (
    "seed", "policy", "answering", "longest silence", "ready/wanted", "USD", "saving", "launch calls",
    "refused", "preempted", "machines", "drained", "most at once", "on demand h", "events", "errors", "took s",
)  # fmt: skip


def _cells(out, first):
    yield from (out.seed, out.policy.name, f"{out.availability:.2%}", out.longest_silence, f"{out.mean_ready:.1%}")
    yield from (f"{out.usd:.0f}", f"{under(out, first):.1f} %", out.launch_calls, out.refused, out.preempted)
    yield from (out.machines, out.drained, out.most_at_once, f"{out.on_demand_time / timedelta(hours=1):.1f}")
    yield from (out.events, out.errors, f"{out.took:.0f}")
