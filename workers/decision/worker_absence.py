"""PURE: whether the workers answer, from how their heartbeats change while someone looks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from workers.heartbeats import Heartbeat, WorkerPart

AWAY_AFTER = timedelta(minutes=1)
"""Time without a heartbeat after which a part of the workers is away."""

NEEDED = {WorkerPart.SWEEPER: AWAY_AFTER, WorkerPart.JOBS: AWAY_AFTER + timedelta(seconds=30)}
"""In the order of what their absence costs, with the time after which each is away.

The second is longer: an idle worker of RQ works every 15 s. If both freeze, its heartbeat stops first, and machines
that nobody observes would be called observed.
"""


class WorkersAway(Struct, frozen=True, kw_only=True):
    """No worker answers, or none does jobs."""

    since: datetime | None
    """The last heartbeat; None if none was recorded in the last day."""
    observed: bool
    """Whether machines are still observed and their leases extended; only launches and ends wait."""


class WorkersSeen(Struct, frozen=True, kw_only=True):
    """What one observer has seen of the heartbeats so far. Times of the monotonic clock are in seconds."""

    newest: Mapping[WorkerPart, datetime | None]
    unchanged_since: Mapping[WorkerPart, float]
    beats: frozenset[tuple[WorkerPart, str, datetime]] = frozenset()
    """Part, host and time of all heartbeats. After a step back of Redis's clock, the newest is one of a dead host."""
    moved: frozenset[WorkerPart] = frozenset()
    """Parts whose heartbeat has changed since the observer began."""


def seen(before: WorkersSeen | None, beats: Sequence[Heartbeat], now: float, *, swept: bool) -> WorkersSeen:
    """What is seen after another look. `before`: None at the first look, and after Redis did not answer.

    `swept`: whether a sweeper holds its lease: a worker of an earlier version records no heartbeats.
    Only looks count, and not the age of a heartbeat: it also grows while Redis is away, or if its clock jumps.
    """
    all_ = frozenset((beat.part, beat.host, beat.at) for beat in beats)
    beaten = {part for part, _, _ in all_ - before.beats} if before else set()
    newest, since, moved = dict[WorkerPart, datetime | None](), dict[WorkerPart, float](), set[WorkerPart]()
    for part in NEEDED:
        at = max((beat.at for beat in beats if beat.part is part), default=None)
        is_new = before is None or part in beaten
        newest[part] = at
        since[part] = now if is_new or before is None else before.unchanged_since[part]
        if before is not None and (is_new or part in before.moved):
            moved.add(part)
        if at is None and (swept or part is WorkerPart.JOBS):
            since[part] = now
            moved.add(part)
    return WorkersSeen(newest=newest, unchanged_since=since, beats=all_, moved=frozenset(moved))


def away(looked: WorkersSeen | None, now: float) -> WorkersAway | None:
    """Who has been away for the time in NEEDED; None if nobody is, or if it is not known yet."""
    if looked is None:
        return None
    for part, length in NEEDED.items():
        if now - looked.unchanged_since[part] >= length.total_seconds():
            return WorkersAway(since=looked.newest[part], observed=part is not WorkerPart.SWEEPER)
    return None


def answers(looked: WorkersSeen | None, now: float) -> bool:
    """Whether it is known that the workers answer."""
    return looked is not None and away(looked, now) is None and looked.moved.issuperset(NEEDED)


def away_by_age(beats: Sequence[Heartbeat], *, swept: bool) -> WorkersAway | None:
    """The same from a single look, for one who asks."""
    for part, length in NEEDED.items():
        last = min((beat for beat in beats if beat.part is part), key=lambda beat: beat.age, default=None)
        missing = last is None and part is WorkerPart.SWEEPER and not swept
        if missing or (last is not None and last.age >= length):
            return WorkersAway(since=last.at if last else None, observed=part is not WorkerPart.SWEEPER)
    return None
