"""Reads the engines' counters of tokens, and books them in the ledger."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from workers.control.async_collector import AsyncCollector
from workers.deployment.attempt import KEPT
from workers.deployment.events import DeploymentId
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.deployment.token_counts import Replica, Tokens, TokensCounted, counted
from workers.serving.metrics import tokens

logger = logging.getLogger(__name__)

READ_EVERY = timedelta(minutes=1)
"""Interval between two readings of an engine. What it counts after the last one before its end is not booked."""

BOOK_EVERY = timedelta(minutes=10)
"""Interval between two entries of a replica that processes tokens."""

AT_ONCE = 128
"""Maximum number of engines that are read concurrently."""


class TokenCounting:
    """Part of a sweep. The counters that were booked last are in the ledger, for the next holder of the lease."""

    def __init__(self, ledger: Ledger, log: Log) -> None:
        self._ledger = ledger
        self._log = log
        self._keys: dict[DeploymentId, str] = {}
        """Cached: keys never change, and thousands of replicas are due in one sweep."""
        self._asked_at: dict[Replica, datetime] = {}
        self._read: dict[Replica, TokensCounted] = {}
        """The newest count of each replica, as far as it is not booked."""
        self._asks = AsyncCollector[Replica, tuple[int, int] | None]("tokens", AT_ONCE)

    def look(self, states: Iterable[Deployment], now: datetime) -> None:
        """Read each published replica that is due, and book what is due.

        A failure is logged and does not stop the sweep, which ends machines.
        """
        try:
            self._look(states, now)
        except RedisError as error:
            logger.warning("Tokens cannot be booked: %s", error)

    def _look(self, states: Iterable[Deployment], now: datetime) -> None:
        serving = {
            (state.id, a.number): (state, a.address)
            for state in states
            for a in state.attempts
            if a.address and a.phase in KEPT
        }
        for replica, read in self._asks.collect(until=0):
            if read is not None:
                self._note(replica, Tokens(*read), now)
        self._book([r for r, c in self._read.items() if r not in serving or self._due(r, c)])
        ids = {id_ for id_, _ in serving}
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in ids}
        self._asked_at = {replica: at for replica, at in self._asked_at.items() if replica in serving}
        for replica, (state, address) in serving.items():
            last = self._asked_at.get(replica)
            if last is None or abs(now - last) >= READ_EVERY:
                key = self._keys.get(state.id) or self._log.secrets(state.id).replica
                self._keys[state.id] = key
                if self._asks.ask(replica, _tokens, address, key):
                    self._asked_at[replica] = now

    def _note(self, replica: Replica, read: Tokens, now: datetime) -> None:
        booked = self._ledger.book().counts.get(replica)
        count = counted(self._read.get(replica) or booked, replica, read, now)
        if booked is None or (count.prompt, count.generated) != (booked.prompt, booked.generated):
            self._read[replica] = count

    def _due(self, replica: Replica, count: TokensCounted) -> bool:
        booked = self._ledger.book().counts.get(replica)
        return booked is None or abs(count.at - booked.at) >= BOOK_EVERY

    def _book(self, replicas: list[Replica]) -> None:
        for replica in replicas:
            self._ledger.count(self._read[replica])
            del self._read[replica]


async def _tokens(address: str, key: str) -> tuple[int, int] | None:
    return await tokens(address, key=key)
