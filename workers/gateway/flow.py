"""PURE: when the answers of each replica last grew, by HAProxy's counters of bytes."""

from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from workers.gateway.table import Actual

Counted = tuple[int, str]
"""Process (0 is the current one) and address of a server."""


class Flow(Struct, frozen=True, kw_only=True):
    """The counters at the last look, and the time of the last growth by address, in monotonic seconds."""

    sent: Mapping[Counted, int] = {}
    grew_at: Mapping[str, float] = {}

    def seen(self, actual: Actual, now: float) -> "Flow":
        """The flow after one more look. A counter that is new, or starts again, has not grown."""
        sent = {(0, s.address): s.sent for s in actual.servers}
        sent |= {(older.pid, s.address): s.sent for older in actual.older for s in older.servers}
        grown = {address for (pid, address), count in sent.items() if count > self.sent.get((pid, address), count)}
        known = {address for _, address in sent}
        kept = {address: at for address, at in self.grew_at.items() if address in known}
        return Flow(sent=sent, grew_at=kept | dict.fromkeys(grown, now))

    def idle(self, address: str, now: float) -> float | None:
        """Seconds since the answers of a replica last grew; None if they have not since the gateway started."""
        at = self.grew_at.get(address)
        return None if at is None else now - at

    def flowing(self, now: float, within: timedelta) -> frozenset[str]:
        """Addresses of the replicas whose answers grew within this time."""
        return frozenset(address for address, at in self.grew_at.items() if now - at <= within.total_seconds())
