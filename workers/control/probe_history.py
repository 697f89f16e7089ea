"""PURE: the result of a probe, what is kept of a replica's probes between sweeps, and when the next is due."""

from datetime import UTC, datetime, timedelta
from zlib import crc32

from msgspec import Struct

from workers.machines import Token
from workers.serving.unready import Unready

PROBE_READY_EVERY = timedelta(seconds=10)
"""Interval between two probes of a ready replica, as in SkyPilot. Other replicas are probed at every sweep."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Probed(Struct, frozen=True, kw_only=True):
    """The result of one probe of a replica."""

    asked_at: datetime
    address: str
    """The address that was probed. The machine's address may have changed before the answer."""
    failure: Unready | None
    """Why the readiness probe failed; None if it passed."""
    key_enforced: bool
    computing: bool = False
    """Whether the engine did not answer, and its counters grew."""
    slow: bool = False


class ProbeHistory(Struct, kw_only=True):
    """State kept for a replica between sweeps. If it is lost, the replica is probed once more."""

    due: datetime
    failures: int = 0
    failing_since: datetime | None = None
    """When the first of the failed probes in a row was sent."""
    key_refusals: int = 0
    """Number of refusals of the key in a row."""
    recorded_at: datetime | None = None
    """Time of the last recorded reason of failure."""
    recorded: int = 0
    """Number of recorded reasons."""
    slow: bool = False
    """Whether the last answer was slow."""
    why: str = ""
    """The last reason of failure, and the same without secrets: they are read from Redis."""
    masked: str = ""


def next_turn(token: Token, after: datetime) -> datetime:
    """The time of the next probe: one per interval, at an offset that is derived from the token."""
    offset = PROBE_READY_EVERY * (crc32(token.encode()) / 2**32)
    elapsed = (after - EPOCH - offset) % PROBE_READY_EVERY
    return after - elapsed + PROBE_READY_EVERY
