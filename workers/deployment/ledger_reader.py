"""Reads the ledger, and completes it with what earlier versions have not booked."""

import logging
import threading
from collections.abc import Iterator, Sequence
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
    MachineClosed,
    decode,
    encode,
    entry_of,
    fold,
)
from workers.deployment.log import START, Log
from workers.deployment.token_counts import TokensCounted

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
            while entries := self._redis.xrange(LEDGER, min=self._position, count=BATCH):
                self._book = fold(_decoded(entries), onto=self._book)
                self._position = f"({entries[-1][0].decode()}"
            return self._book

    def complete(self, log: Log, since: datetime, now: datetime) -> int:
        """Book what the logs contain and the ledger does not; return the number of entries.

        An earlier version of a worker books nothing: this is called while a process is the sweeper, too. An entry that
        two processes append has no effect the second time. `since`: the logs of deployments that ended earlier are not
        read. A machine whose log is gone is closed: nobody would see its end, which its lease brings.
        """
        book, added = self.book(), 0
        for deployment in {*log.names().values(), *log.ended(since)}:
            added += sum(self._booked(entry) for entry in _entries(log, deployment) if not _has(book, entry))
        running = {use.booked.deployment for use in book.uses.values() if use.ended is None}
        gone = {deployment for deployment in running if log.version(deployment) == START}
        for deployment, attempt in (key for key, use in book.uses.items() if key[0] in gone and use.ended is None):
            added += self._booked(MachineClosed(deployment=deployment, attempt=attempt, ended=now))
        return added

    def settle(self, deployment: DeploymentId, attempt: int, machine: str, ended: datetime) -> bool:
        """Replace our time of a machine's end with the cloud's. Returns whether the cloud's is booked."""
        use = self.book().uses.get((deployment, attempt))
        if use is None or use.ended is None or use.booked.machine != machine:
            return False
        if use.estimated:
            self._booked(MachineClosed(deployment=deployment, attempt=attempt, ended=ended, estimated=False))
        return True

    def count(self, entry: TokensCounted) -> None:
        self._booked(entry)

    def _booked(self, entry: LedgerEntry) -> int:
        self._redis.xadd(LEDGER, {"e": encode(entry)})
        return 1


def _decoded(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[LedgerEntry]:
    for _, fields in entries:
        try:
            yield decode(fields[b"e"])
        except MsgspecError:
            _LOG.warning("An entry of the ledger is of a newer version, and is left out.")


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
