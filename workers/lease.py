"""A lock in Redis with an expiry. It avoids duplicate work; correctness does not depend on it."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta

from redis import Redis
from redis.exceptions import LockError, RedisError

SWEEPER = "sweeper"
"""Name of the lease of the process that observes all machines."""


def is_held(redis: Redis, name: str) -> bool:
    """Whether any process holds the lease."""
    return bool(redis.exists(_key(name)))


def _key(name: str) -> str:
    return f"mixtral:lease:{name}"


class Lease:
    """`mixtral:lease:<name>` in Redis. It expires `ttl` after the last renewal."""

    def __init__(self, redis: Redis, name: str, ttl: timedelta) -> None:
        self._ttl = ttl.total_seconds()
        self._lock = redis.lock(_key(name), timeout=self._ttl, blocking=False, thread_local=False)

    def acquire(self) -> bool:
        """Take the lease if it is free. Returns whether it was."""
        return bool(self._lock.acquire())

    def renew(self) -> bool:
        """Restart the time to expiry; False if the lease is lost, or if Redis does not answer."""
        try:
            return bool(self._lock.reacquire())
        except (LockError, RedisError):
            return False

    def release(self) -> None:
        """Release the lease. No effect if it is lost, or if Redis does not answer."""
        with contextlib.suppress(LockError, RedisError):
            self._lock.release()

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Take the lease, renew it in the background, and release it. Yields whether it was free."""
        if not self.acquire():
            yield False
            return
        done = threading.Event()
        renewal = threading.Thread(target=self._renew_until, args=(done,), name="lease", daemon=True)
        renewal.start()
        try:
            yield True
        finally:
            done.set()
            renewal.join()
            self.release()

    def _renew_until(self, done: threading.Event) -> None:
        while not done.wait(self._ttl / 3):
            self.renew()


class Leases:
    """Leases of one process that are renewed together, by one thread. Safe to use from several threads."""

    def __init__(self, redis: Redis, ttl: timedelta) -> None:
        self._redis, self._ttl = redis, ttl
        self._held: set[Lease] = set()
        self._closed = threading.Event()
        self._renewal: threading.Thread | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Take the lease, keep it, and release it. Yields whether it was free."""
        lease = Lease(self._redis, name, self._ttl)
        if not lease.acquire():
            yield False
            return
        with self._lock:
            self._held.add(lease)
            if self._renewal is None:
                self._renewal = threading.Thread(target=self._renew_until_closed, name="leases", daemon=True)
                self._renewal.start()
        try:
            yield True
        finally:
            with self._lock:
                self._held.discard(lease)
            lease.release()

    def close(self) -> None:
        """End the renewal."""
        self._closed.set()
        if self._renewal is not None:
            self._renewal.join()

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._ttl.total_seconds() / 3):
            with self._lock:
                held = tuple(self._held)
            for lease in held:
                lease.renew()
