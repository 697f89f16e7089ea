"""Books the new prices of running spot machines after the prices in Redis were refreshed."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from workers.decision.repricing import repriced
from workers.deployment.ledger_reader import Ledger
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

    def look(self, now: datetime) -> None:
        """Compare what runs with the refreshed prices. A failure is logged and does not stop the sweep.

        An operator's own table is used alone, and does not tell when a price changed: nothing is compared then.
        """
        if self._is_own or (self._looked_at is not None and abs(now - self._looked_at) < LOOK_EVERY):
            return
        self._looked_at = now
        try:
            self._look(now)
        except Exception:
            logger.exception("The prices of running spot machines could not be compared; this is repeated.")

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
