"""Reads the ledger, and completes it with what earlier versions have not booked."""

import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import MsgspecError
from redis import Redis

from workers.deployment.events import DeploymentId, NewerEvent
from workers.deployment.ledger import (
    LEDGER,
    Book,
    DeploymentBooked,
    LedgerEntry,
    MachineBooked,
    decode,
    encode,
    entry_of,
    fold,
)
from workers.deployment.log import KEPT_AFTER_END, Log

_LOG = logging.getLogger(__name__)

BATCH = 1000
"""Number of entries that are read at once."""


class Ledger:
    """The ledger of this installation. Safe to use from several threads; each call reads only what is new."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._book = Book()
        self._position = "-"
        self._lock = threading.Lock()

    def book(self) -> Book:
        """The use of every machine so far. Raises RedisError."""
        with self._lock:
            self._book = fold(self._new_entries(), onto=self._book)
            return self._book

    def _new_entries(self) -> Iterator[LedgerEntry]:
        while entries := self._redis.xrange(LEDGER, min=self._position, count=BATCH):
            for _, fields in entries:
                try:
                    yield decode(fields[b"e"])
                except MsgspecError:
                    _LOG.warning("An entry of the ledger is of a newer version, and is left out.")
            self._position = f"({entries[-1][0].decode()}"

    def complete(self, log: Log, now: datetime) -> int:
        """Book what the logs contain and the ledger does not; return the number of entries.

        An earlier version of a worker books nothing: this is called whenever a process becomes the sweeper. An entry
        that two processes append has no effect the second time.
        """
        book, added = self.book(), 0
        for deployment in {*log.names().values(), *log.past(now - KEPT_AFTER_END).values()}:
            for entry in _entries(log, deployment):
                if not _has(book, entry):
                    self._redis.xadd(LEDGER, {"e": encode(entry)})
                    added += 1
        return added


def _entries(log: Log, deployment: DeploymentId) -> Iterator[LedgerEntry]:
    try:
        events = log.read(deployment)
    except MsgspecError:
        return  # a newer version wrote it, and booked it
    for event in events:
        if not isinstance(event, NewerEvent) and (entry := entry_of(deployment, event)) is not None:
            yield entry


def _has(book: Book, entry: LedgerEntry) -> bool:
    if isinstance(entry, DeploymentBooked):
        return entry.deployment in book.owners
    use = book.uses.get((entry.deployment, entry.attempt))
    return use is not None and (isinstance(entry, MachineBooked) or use.ended is not None)
