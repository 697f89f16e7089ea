"""The time of the installation: that of its Redis, so that hosts with different clocks decide by the same time."""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

READ_EVERY = 10.0
"""Seconds between two readings. In between, and while Redis does not answer, the time passes by the monotonic clock."""

JITTER = timedelta(seconds=0.5)
"""Difference up to which a reading changes nothing, because its answer may be late. A larger one sets the time."""


class RedisClock:
    """Returns the time in UTC. Safe to use from several threads. Only the first call waits for Redis."""

    def __init__(
        self,
        redis: Redis,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        of_host: Callable[[], datetime] = lambda: datetime.now(UTC),
        beside: Callable[[Callable[[], None]], None] = lambda read: threading.Thread(target=read, daemon=True).start(),
    ) -> None:
        """`of_host`: the time until Redis has answered once. `beside`: starts a later reading."""
        self._redis: Any = redis
        self._monotonic, self._of_host, self._beside = monotonic, of_host, beside
        self._first, self._due = threading.Lock(), threading.Lock()
        self._due_at: float | None = None
        """When the next reading is due, by the monotonic clock; None before the first one."""
        self._known: tuple[datetime, float] | None = None
        """The last time that was read, and when, by the monotonic clock."""

    def __call__(self) -> datetime:
        if self._due_at is None:
            with self._first:
                if self._due_at is None:
                    self._read()
        elif self._is_due():
            with contextlib.suppress(RuntimeError):  # no thread can be started now
                self._beside(self._read)
        if self._known is None:
            return self._of_host()
        return self._at(self._known, self._monotonic())

    @staticmethod
    def _at(known: tuple[datetime, float], monotonic: float) -> datetime:
        at, read_at = known
        return at + timedelta(seconds=monotonic - read_at)

    def _is_due(self) -> bool:
        """Whether a reading is due, which no other thread begins."""
        with self._due:
            now = self._monotonic()
            if self._due_at is None or now < self._due_at:
                return False
            self._due_at = now + READ_EVERY
            return True

    def _read(self) -> None:
        asked_at = self._monotonic()
        try:
            seconds, microseconds = self._redis.time()
        except RedisError:
            pass  # the time goes on by the last reading
        else:
            at = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
            read_at = (asked_at + self._monotonic()) / 2
            if self._known is None or abs(at - self._at(self._known, read_at)) > JITTER:
                self._known = at, read_at
        self._due_at = asked_at + READ_EVERY
