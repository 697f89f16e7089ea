"""One gateway an installation, whichever computers it runs on: whoever drives HAProxy says so in Redis."""

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

from workers.gateway.errors import GatewayError

logger = logging.getLogger(__name__)

KEY = "mixtral:gateway"
LASTS = timedelta(seconds=10)
BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(folder: Path) -> str:
    """Names a gateway, the same after its restart, and no other: two computers may have one name between them.

    Who holds the folder's lock is the only one of this name, so that whoever had the claim before him has died.
    """
    booted = BOOT.read_text().strip() if BOOT.exists() else ""
    return f"on {socket.gethostname()}, in {folder.resolve()} ({booted[:8]}-{folder.stat().st_ino:x})"


class Claim:
    """`mixtral:gateway` in Redis names the gateway, and goes LASTS after it was last renewed."""

    def __init__(self, redis: Redis, me: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._me = me.encode()
        self._clock = clock
        self._lock = redis.lock(KEY, timeout=LASTS.total_seconds(), blocking=False, thread_local=False)
        self._rival: str | None = None

    @contextlib.contextmanager
    def held(self, stop: threading.Event) -> Iterator[None]:
        """Hold it, and renew it in a thread of its own; at the end give it back.

        Waits for one that has died, and for Redis, until told to stop. Raises GatewayError where another lives on.
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
        """Return once it is ours, or told to stop. Raises GatewayError."""
        give_up_at = self._clock() + LASTS.total_seconds() * 1.5
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
                        f"Another gateway runs already, {rival}. One is enough, and only one can see that a replica "
                        "has answered its last request. End the other first, or give this one another Redis."
                    )
            stop.wait(1)

    def keep(self) -> None:
        """Renew it. One that is lost to another gateway is told of, once."""
        with contextlib.suppress(RedisError):  # the gateway's own loop tells of a Redis that is away
            rival = self._claimed_by_another()
            if rival is not None and rival != self._rival:
                logger.error("another gateway drives the same deployments: %s. End one of the two.", rival)
            self._rival = rival

    def _keep_until(self, done: threading.Event) -> None:
        while not done.wait(LASTS.total_seconds() / 4):
            self.keep()

    def _claimed_by_another(self) -> str | None:
        """Claim it for LASTS; who has it, if that is another."""
        while not self._lock.acquire(token=self._me):
            self._lock.local.token = self._me
            with contextlib.suppress(LockError):
                self._lock.reacquire()
                return None
            holder = self._redis.get(KEY)
            if isinstance(holder, bytes) and holder != self._me:
                return holder.decode(errors="replace")
        return None  # else it has gone between two looks, and is asked for again
