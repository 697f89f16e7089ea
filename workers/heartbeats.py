"""When each part of each worker host last worked: a part that is frozen, ended or cut off from Redis falls behind."""

import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec import Struct
from redis import Redis
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

HEARTBEATS = "mixtral:workers"

EVERY = timedelta(seconds=5)
"""Minimum time between two heartbeats of one process."""

RETRY = 1.0
"""Time to the next attempt after a failure of Redis, in seconds."""

LATE = timedelta(seconds=40)
"""Age from which the newest heartbeat means that a part does not answer. An idle worker of RQ works every 15 s."""

KEPT_FOR = timedelta(days=1)
"""Time after which a part that does not answer is forgotten, for example because its host was removed."""

# The time is that of Redis, because the clocks of hosts differ.
_BEAT = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do
  if tonumber(string.match(all[i], '^%d+')) < now - tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i - 1]) end
end
return now
"""


class WorkerPart(StrEnum):
    """A part of `mixtral-bot worker`."""

    SWEEPER = "sweeper"
    """Observes all machines, and extends their leases. One process at a time, by lease."""
    JOBS = "jobs"
    """Launches and ends machines."""
    POOL = "pool"
    """Restarts the other two if they end."""


class Heartbeat(Struct, frozen=True, kw_only=True):
    """The newest sign of one part on one host."""

    part: WorkerPart
    host: str
    """Name of the host."""
    at: datetime
    age: timedelta
    """By the clock of Redis."""

    @property
    def is_late(self) -> bool:
        return self.age > LATE


class HeartbeatRecorder:
    """Records that one process works, at most every EVERY. A failure of Redis is left to those who read."""

    def __init__(self, redis: Redis, part: WorkerPart, host: str) -> None:
        """`host`: id of the worker host, which outlives its name."""
        self._beat: Any = redis.register_script(_BEAT)
        self._field, self._name = f"{part} {host}", socket.gethostname()
        self._last: float | None = None

    def beat(self) -> None:
        now = time.monotonic()
        if self._last is not None and now - self._last < EVERY.total_seconds():
            return
        self._last = now
        try:
            self._beat([HEARTBEATS], [self._field, self._name, int(KEPT_FOR.total_seconds())])
        except RedisError as error:
            self._last = now - EVERY.total_seconds() + RETRY
            logger.debug("no heartbeat: %s", error)


def read(redis: Redis) -> list[Heartbeat]:
    """The newest heartbeat of each part on each host. Raises RedisError."""
    client: Any = redis
    (now, _), fields = client.time(), client.hgetall(HEARTBEATS)
    found = []
    for field, value in sorted(fields.items()):
        part, _, _ = field.decode().partition(" ")
        at, _, name = value.decode().partition(" ")
        if part in tuple(WorkerPart):
            age = timedelta(seconds=max(0, now - int(at)))
            found.append(Heartbeat(part=WorkerPart(part), host=name, at=datetime.fromtimestamp(int(at), UTC), age=age))
    return found
