"""The lock in Redis that allows one gateway per installation, on any computer."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from redis import Redis
from redis.exceptions import LockError, RedisError

from workers.deployment.gateway_notices import CLAIM
from workers.gateway.errors import GatewayError

logger = logging.getLogger(__name__)

KEY = CLAIM
EXPIRY = timedelta(seconds=10)
BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(folder: Path) -> str:
    """The name of the gateway of `folder`: unchanged by a restart, and unique even if two computers share a host name.

    Only the process that holds the folder's lock uses this name, so an existing claim under it is a dead process's.
    """
    booted = BOOT.read_text().strip() if BOOT.exists() else ""
    return f"on {socket.gethostname()}, in {folder.resolve()} ({booted[:8]}-{folder.stat().st_ino:x})"


class Claim:
    """The key `mixtral:gateway` in Redis: its value is the gateway's name, it expires EXPIRY after its last renewal."""

    def __init__(self, redis: Redis, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._name = name.encode()
        self._clock = clock
        self._lock = redis.lock(KEY, timeout=EXPIRY.total_seconds(), blocking=False, thread_local=False)
        self._holder: str | None = None

    @contextlib.contextmanager
    def held(self, stop: threading.Event) -> Iterator[None]:
        """Hold the claim for the length of the context; a thread renews it.

        Waits for Redis, and for the expiry of a dead gateway's claim, until `stop` is set. Raises as `take` does.
        """
        self.take(stop)
        done = threading.Event()
        renewal = threading.Thread(target=self._keep_until, args=(done,), name="claim", daemon=True)
        renewal.start()
        try:
            yield
        finally:
            done.set()
            renewal.join()
            with contextlib.suppress(LockError, RedisError):
                self._lock.release()

    def take(self, stop: threading.Event) -> None:
        """Return when the claim is taken or `stop` is set. Raises GatewayError if another gateway keeps it."""
        give_up_at = self._clock() + EXPIRY.total_seconds() * 1.5
        while not stop.is_set():
            try:
                rival = self._claimed_by_another()
            except RedisError as error:
                logger.warning("waiting for Redis: %s", error)
            else:
                if rival is None:
                    return
                if self._clock() > give_up_at:
                    raise GatewayError(
                        f"Another gateway runs already, {rival}. One gateway serves all deployments: with two, neither "
                        "can determine when a replica is drained. End the other first, or set another REDIS_URL."
                    )
            stop.wait(1)

    def keep(self) -> None:
        """Renew the claim. If another gateway has taken it, log that once."""
        with contextlib.suppress(RedisError):  # the gateway's own loop logs that Redis does not answer
            rival = self._claimed_by_another()
            if rival is not None and rival != self._holder:
                logger.error("another gateway serves the same deployments: %s. End one of the two.", rival)
            self._holder = rival

    def _keep_until(self, done: threading.Event) -> None:
        while not done.wait(EXPIRY.total_seconds() / 4):
            self.keep()

    def _claimed_by_another(self) -> str | None:
        """Take or renew the claim; return the name of the gateway that has it instead, or None."""
        while not self._lock.acquire(token=self._name):
            self._lock.local.token = self._name
            with contextlib.suppress(LockError):
                self._lock.reacquire()
                return None
            holder = self._redis.get(KEY)  # None: expired in between, so that the next attempt succeeds
            if isinstance(holder, bytes) and holder != self._name:
                return holder.decode(errors="replace")
        return None
