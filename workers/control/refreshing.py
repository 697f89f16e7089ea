"""Refreshes the prices in Redis at the start and daily: one worker of the installation, in a thread of its own."""

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import RedisError

from workers.clouds.quotes import Source
from workers.clouds.refresh import InRedis, Refreshed, one_by_one, refresh
from workers.lease import Lease
from workers.placement import shared_prices
from workers.placement.catalog import PricesError
from workers.placement.doubts import Row

logger = logging.getLogger(__name__)

STARTS_WITHIN = timedelta(seconds=20), timedelta(seconds=80)
"""Time from the start to the first look: the first launch has begun by then, and workers differ."""
LOOK_EVERY = timedelta(minutes=10)
AT_START = timedelta(hours=1)
"""Minimum age of the last refresh for which a start repeats it, so that frequent restarts do not."""
LEASE = timedelta(seconds=30)


class PriceRefresher:
    """One runs in each worker. The time of the last refresh is in Redis, the same for all of them."""

    def __init__(
        self,
        redis: Any,
        sources: Callable[[Sequence[Row]], Mapping[str, Source]],
        *,
        every: timedelta | None,
        clock: Callable[[], datetime],
    ) -> None:
        """`sources`: returns the sources of prices for a table's machines. `every`: None for never."""
        self._redis = redis
        self._sources = sources
        self._every = every
        self._clock = clock
        self._max_age = AT_START if every is None else min(AT_START, every)

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set. A failure is logged, and stored for `check`."""
        if self._every is None:
            return
        wait = random.uniform(*(bound.total_seconds() for bound in STARTS_WITHIN))  # noqa: S311 - spreads load
        while not stop.wait(wait):
            try:
                self.look()
            except (RedisError, PricesError) as error:
                logger.warning("The prices could not be refreshed: %s", error)
            except Exception:
                logger.exception("The prices could not be refreshed")
            wait = LOOK_EVERY.total_seconds() * random.uniform(0.5, 1.5)  # noqa: S311 - as above

    def look(self) -> bool:
        """Refresh the prices if that is due and no other worker does. Returns whether it did. Raises RedisError."""
        if not self._sources(()) or not self._due():
            return False
        with Lease(self._redis, "prices", LEASE).held() as free:
            if not free or not self._due():  # another worker may have done it in the meantime
                return False
            done = refresh(InRedis(self._redis), self._sources, one_by_one, self._clock())
        self._max_age = self._every or AT_START
        _log(done)
        return True

    def _due(self) -> bool:
        last, _ = shared_prices.load(self._redis)
        return last is None or abs(self._clock() - last.tried_at) >= self._max_age


def _log(done: Refreshed) -> None:
    for line in (*done.ignored, *done.failed, *done.merged.dropped):
        logger.warning("%s", line)
    logger.info("%d prices were read, %d of them have changed", done.merged.taken, len(done.merged.changed))
