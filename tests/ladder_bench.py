"""Measures logs of dry ladders and of lost replicas: `python -m tests.ladder_bench`; a part of `make bench`."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from redis import Redis

from tests.builders.long_logs import (
    ID,
    MACHINE_LEASE,
    RUNGS,
    LongLog,
    dry_after_a_loss,
    dry_from_the_launch,
    lost_replicas,
)
from tests.builders.machines import INSTALLATION
from tests.fakes.driver import FakeDriver
from tests.measured import show
from workers.clouds.driver import Refused
from workers.control.advance import Advance
from workers.decision.next_step import next_step
from workers.decision.retry_policy import MAX_PAUSE
from workers.deployment.events import EventId, LoggedEvent, Snapshotted
from workers.deployment.log import Log, _encode, decode
from workers.deployment.snapshot import is_long, snapshot_of
from workers.deployment.state import fold
from workers.placement.refusals import Scope
from workers.processes import Children
from workers.sandbox.valkey import free_port, valkey
from workers.writable import wait_for

AT_ONCE = 50
"""Number of events between two looks of the sweeper."""

LOGS: tuple[tuple[str, Callable[[], LongLog]], ...] = (
    ("a launch that is dry for 12 h", lambda: dry_from_the_launch(timedelta(hours=12), timedelta(minutes=5))),
    ("a deployment that is dry for 14 days", lambda: dry_after_a_loss(timedelta(days=14))),
    ("a deployment with 3,000 lost replicas", lambda: lost_replicas(3000)),
)


def rows() -> Iterator[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory(prefix="mixtral-ladder-") as folder:
        children, port = Children(), free_port()
        children.start(valkey(port, Path(folder) / "valkey", Path(folder) / "valkey.log"))
        redis = Redis(port=port)
        wait_for(redis)
        yield from measured(redis)
        redis.close()
        children.stop()


def measured(redis: Redis) -> Iterator[tuple[str, str, str]]:
    for what, make in LOGS:
        log = make()
        whole = [_encode(event) for event in log.events]
        at, shortened = max(lives(log), key=lambda one: sum(map(len, one[1])))
        before, now = look(whole, log.now), look(shortened, log.now)
        bytes_before, bytes_now = sum(map(len, whole)), sum(map(len, shortened))
        yield (
            f"{what}: log in Redis at its largest",
            f"{len(shortened)} events, {bytes_now / 1e6:.2f} MB",
            f"limit 2 MB; without snapshots {len(whole)} events, {bytes_before / bytes_now:.0f} x the bytes",
        )
        yield (
            "read, folded and decided from its bytes, median CPU time of 7",
            f"{now * 1e3:.0f} ms",
            f"limit 50 ms; without snapshots {before / now:.0f} x the time",
        )
        climb, calls = advanced(redis, shortened, at)
        yield (
            f"one job that then makes {calls} launch calls, which a fake cloud refuses: CPU time",
            f"{climb:.2f} s",
            "a whole climb of the ladder",
        )


def lives(log: LongLog) -> Iterator[tuple[datetime, list[bytes]]]:
    """The entries of the log each time that the sweeper looks at it, just before it may be shortened."""
    events: list[LoggedEvent] = []
    entries: list[bytes] = []
    state = None
    for begin in range(0, len(log.events), AT_ONCE):
        new = log.events[begin : begin + AT_ONCE]
        state = fold(ID, new, onto=state)
        events += new
        entries += map(_encode, new)
        yield new[-1].at, entries
        if state is not None and is_long(state):
            made = snapshot_of(ID, events, EventId("5" * 16), new[-1].at)
            assert isinstance(made, Snapshotted)
            events, entries, state = [made], [_encode(made)], fold(ID, [made])


def largest_by_day(log: LongLog) -> list[int]:
    """The largest size of the log in Redis on each day, in bytes."""
    days: dict[int, int] = {}
    for at, entries in lives(log):
        day = (at - log.events[0].at).days
        days[day] = max(days.get(day, 0), sum(map(len, entries)))
    return [days[day] for day in sorted(days)]


def advanced(redis: Redis, entries: list[bytes], at: datetime) -> tuple[float, int]:
    """Seconds of CPU of one job, at the end of the longest pause after `at`, and its number of launch calls."""
    redis.flushall()
    first = decode(entries[0])
    version = first.version if isinstance(first, Snapshotted) else 1
    with redis.pipeline(transaction=False) as together:
        for number, entry in enumerate(entries, version):
            together.xadd(f"mixtral:d:{ID}", {"e": entry}, id=f"{number}-0")
        together.hset(f"mixtral:keys:{ID}", "replica", "mxk_bench")
        together.execute()
    cloud = FakeDriver("gcp")
    cloud.refuse = lambda offer: Refused(f"No stock in {offer.zone}.", code="STOCKOUT", scope=Scope.ZONE)
    advance = Advance(
        redis=redis,
        log=Log(redis),
        drivers={"gcp": cloud},
        ladder=lambda *_: (RUNGS, ""),
        environ={"HF_TOKEN": "a-token-of-the-hub"},
        installation=INSTALLATION,
        machine_lease=MACHINE_LEASE,
        control_lease=timedelta(seconds=10),
        clock=lambda: at + MAX_PAUSE,
    )
    began = time.process_time()
    advance(ID)
    return time.process_time() - began, sum(name == "create" for name, _ in cloud.calls)


def look(entries: list[bytes], now: datetime) -> float:
    """Seconds of CPU."""
    took = []
    for _ in range(7):
        began = time.process_time()
        state = fold(ID, [decode(entry) for entry in entries])
        assert state is not None
        next_step(state, now)
        took.append(time.process_time() - began)
    return statistics.median(took)


if __name__ == "__main__":
    show("long logs", rows())
