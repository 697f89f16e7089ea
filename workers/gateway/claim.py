"""One gateway an installation, whichever computers it runs on: whoever drives HAProxy says so in Redis."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from redis import Redis
from redis.exceptions import RedisError

from workers.gateway.errors import GatewayError

logger = logging.getLogger(__name__)

KEY = "mixtral:gateway"
LASTS = timedelta(seconds=10)
RENEWED_EVERY = LASTS / 4


class Claim:
    """`mixtral:gateway` in Redis names the gateway, and goes LASTS after it was last renewed."""

    def __init__(self, redis: Redis, me: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`me` names this gateway, the same after a restart: its successor need not wait."""
        self._redis = redis
        self._me = me
        self._clock = clock
        self._renewed_at = clock()
        self._rival: str | None = None

    def take(self, stop: threading.Event) -> None:
        """Return once it is ours, or told to stop; wait for one that has died, and for Redis.

        Raises GatewayError where another gateway lives on.
        """
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
        """Renew it when that is due; call it often. One that is lost to another gateway is told of, once."""
        if self._clock() - self._renewed_at < RENEWED_EVERY.total_seconds():
            return
        self._renewed_at = self._clock()
        with contextlib.suppress(RedisError):  # the gateway's own loop tells of a Redis that is away
            rival = self._claimed_by_another()
            if rival is not None and rival != self._rival:
                logger.error("another gateway drives the same deployments: %s. End one of the two.", rival)
            self._rival = rival

    def release(self) -> None:
        """Give it back, where it is ours."""
        with contextlib.suppress(RedisError):
            if self._holder() == self._me:
                self._redis.delete(KEY)

    def _claimed_by_another(self) -> str | None:
        """Claim it for LASTS; who has it, if that is another."""
        lasts = int(LASTS.total_seconds() * 1000)
        if self._redis.set(KEY, self._me, px=lasts, nx=True):
            return None
        holder = self._holder()
        if holder == self._me:
            self._redis.pexpire(KEY, lasts)
        return None if holder in (self._me, None) else holder

    def _holder(self) -> str | None:
        held = self._redis.get(KEY)
        return held.decode(errors="replace") if isinstance(held, bytes) else None
