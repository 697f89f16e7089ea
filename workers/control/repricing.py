"""Books the new prices of running spot machines after the prices in Redis were refreshed."""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import RedisError

from workers.decision.price_change import repriced
from workers.deployment.ledger_reader import Ledger
from workers.deployment.state import Deployment
from workers.placement import shared_prices
from workers.placement.doubts import Row
from workers.placement.in_use import own, table_of

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(minutes=1)


class Repricing:
    """Part of the sweeper. The next holder of its lease finds in the ledger what is booked."""

    def __init__(self, redis: Any, ledger: Ledger, environ: Mapping[str, str]) -> None:
        self._redis = redis
        self._ledger = ledger
        self._is_own = own(environ) is not None
        self._looked_at: datetime | None = None
        self._read_at: datetime | None = None
        self._rows: dict[tuple[str, str, str], Row] = {}

    def look(self, states: Iterable[Deployment], now: datetime) -> None:  # noqa: ARG002 - the ledger says what runs
        """Compare the running spot machines of the ledger with the refreshed prices.

        An operator's own table is used alone, and does not tell when a price changed: nothing is compared then. A
        failure is logged and does not stop the sweep, which ends machines.
        """
        if self._is_own or (self._looked_at is not None and abs(now - self._looked_at) < LOOK_EVERY):
            return
        self._looked_at = now
        try:
            self._look(now)
        except RedisError as error:
            logger.warning("The prices of running spot machines cannot be compared: %s", error)

    def _look(self, now: datetime) -> None:
        running = [use for use in self._ledger.book().uses.values() if use.ended is None and use.booked.spot]
        stored = shared_prices.load(self._redis)[0] if running else None
        if stored is None or stored.tried_at > now:
            return
        if stored.tried_at != self._read_at:
            self._rows = {row.key: row for row in table_of(stored.table)[0]}
            self._read_at = stored.tried_at
        for entry in repriced(running, self._rows, stored.tried_at):
            self._ledger.reprice(entry)
            logger.info("The price of attempt %d of %s has changed.", entry.attempt, entry.deployment)
