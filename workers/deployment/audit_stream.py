"""The audit in Redis: a stream with the ids 1-0, 2-0, 3-0, …, to which only scripts append."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from workers.deployment.audit import AuditEntry, encode, gaps

_LOG = logging.getLogger(__name__)

AUDIT = "mixtral:audit"
BOUNDS = "mixtral:audit:bounds"
"""`first`, `last`: the numbers of the oldest entry that is kept, and of the newest."""

REPEATED_WITHIN = timedelta(hours=1)
"""Time within which another delivery of a request is recognized."""

BATCH = 1000

APPEND = f"""
local function audit(entry)
  local newest = redis.call('XREVRANGE', '{AUDIT}', '+', '-', 'COUNT', 1)
  local last = tonumber(redis.call('HGET', '{BOUNDS}', 'last') or '0')
  if #newest > 0 then last = math.max(last, tonumber(string.match(newest[1][1], '^(%d+)'))) end
  redis.call('XADD', '{AUDIT}', string.format('%d-0', last + 1), 'e', entry)
  redis.call('HSET', '{BOUNDS}', 'last', string.format('%d', last + 1))
end
local AUDITED_FOR = {int(REPEATED_WITHIN.total_seconds())}
"""
"""Lua that other scripts begin with. The number of an entry is computed where it is appended, so that none is missing.

The stream is one for the installation, so its name is in the script, and not among the keys of each.
"""

# KEYS[1]: the mark of the request. Reply: 1 if appended, 0 if the request is in the audit already.
_ONCE = (
    APPEND
    + """
if not redis.call('SET', KEYS[1], 1, 'NX', 'EX', AUDITED_FOR) then return 0 end
audit(ARGV[1])
return 1
"""
)

_TRIM = f"""
redis.call('XTRIM', '{AUDIT}', 'MINID', ARGV[1] .. '-0')
redis.call('HSET', '{BOUNDS}', 'first', ARGV[1])
"""


class _Dated(Struct):
    at: datetime


_dated = msgspec.json.Decoder(_Dated).decode


def mark_of(once: str) -> str:
    """The key that is set once a request is in the audit."""
    return f"mixtral:audited:{once}"


class AuditStream:
    """Safe to use from several threads and processes. Raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._once: Any = redis.register_script(_ONCE)
        self._trim: Any = redis.register_script(_TRIM)

    def append(self, entry: AuditEntry, *, once: str) -> bool:
        """Append the entry, unless its request is in the audit already, by an event or by an earlier delivery."""
        return bool(self._once([mark_of(once)], [encode(entry)]))

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Every entry that is kept, oldest first: its number, and its JSON."""
        after = "-"
        while entries := self._redis.xrange(AUDIT, min=after, count=BATCH):
            for id_, fields in entries:
                yield int(id_.split(b"-")[0]), fields[b"e"]
            after = f"({entries[-1][0].decode()}"

    def missing(self) -> list[tuple[int, int]]:
        """The ranges of numbers that are missing between the oldest entry that is kept and the newest."""
        # The bounds are read first: entries that are appended meanwhile are beyond them.
        first, last = self._redis.hmget(BOUNDS, "first", "last")
        return list(gaps((number for number, _ in self.read()), first=int(first or 1), last=int(last or 0)))

    def trim(self, before: datetime) -> int:
        """Remove the entries that are older, from the old end on; return their number. The newest stays."""
        removed = 0
        while entries := self._redis.xrange(AUDIT, count=BATCH):
            numbers = [int(id_.split(b"-")[0]) for id_, _ in entries]
            old = next((n for n, (_, fields) in enumerate(entries) if not _is_before(fields[b"e"], before)), None)
            keep = len(entries) - 1 if old is None else old
            if keep:
                self._trim([], [numbers[keep]])
            removed += keep
            if old is not None or len(entries) < BATCH:
                break
        return removed


def _is_before(entry: bytes, when: datetime) -> bool:
    try:
        return _dated(entry).at < when
    except msgspec.MsgspecError:
        _LOG.warning("An entry of the audit cannot be read, so it and those after it are kept.")
        return False
