"""A right that one process holds for a short while: it saves wasted work, and correctness never rests on it."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta

from redis import Redis
from redis.exceptions import LockError, RedisError


class Lease:
    """`mixtral:lease:<name>` in Redis. Whoever dies with it, leaves it to others after `ttl`."""

    def __init__(self, redis: Redis, name: str, ttl: timedelta) -> None:
        self._ttl = ttl.total_seconds()
        self._lock = redis.lock(f"mixtral:lease:{name}", timeout=self._ttl, blocking=False, thread_local=False)

    def acquire(self) -> bool:
        """Take the lease if nobody has it."""
        return bool(self._lock.acquire())

    def renew(self) -> bool:
        """Start its time anew; False if it is lost, or if Redis does not answer."""
        try:
            return bool(self._lock.reacquire())
        except (LockError, RedisError):
            return False

    def release(self) -> None:
        """Give it back; one that is lost already is fine."""
        with contextlib.suppress(LockError, RedisError):
            self._lock.release()

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Take the lease, keep renewing it in the background, and give it back; yields whether it was free."""
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
