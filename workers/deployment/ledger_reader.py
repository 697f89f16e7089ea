"""Reads the ledger, and completes it with what earlier versions have not booked."""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import MsgspecError
from msgspec.structs import replace
from redis import Redis

from workers.deployment import stored_book
from workers.deployment.attempt import MAY_COST
from workers.deployment.events import (
    DeploymentId,
    LaunchIntended,
    LoggedEvent,
    MachineCreated,
    NewerEvent,
    Snapshotted,
)
from workers.deployment.ledger import (
    LEDGER,
    TOKENS,
    Book,
    DeploymentBooked,
    LedgerEntry,
    MachineBooked,
    MachineClosed,
    MachineRepriced,
    MachineReserved,
    ReservationReleased,
    decode,
    encode,
    entry_of,
    fold,
)
from workers.deployment.log import START, Log
from workers.deployment.ownership import has_ended_itself
from workers.deployment.state import fold as fold_log
from workers.deployment.stored_book import BOOK, RECENT
from workers.deployment.token_counts import TokensCounted
from workers.deployment.token_stream import KEPT as TOKENS_KEPT
from workers.deployment.token_stream import TokenStream

_LOG = logging.getLogger(__name__)

BATCH = 1000
"""Number of entries that are read at once."""

STORED_EVERY = 1000
"""Number of new entries after which the book is stored again."""

RECENT_FOR = timedelta(days=62)
"""Time for which the recent book has a machine after its end. No budget is of a longer time than a month."""

BEGINNING = 100
"""Length of what a stored book begins with, in bytes: its schema and its position."""

START_OF_STREAM = "-"

REMOVED = "mixtral:ledger:removed"
"""Number of removals from the ledger. A reader starts again if it has changed: a release may be gone whose reservation
it has read."""


class Ledger:
    """The ledger of this installation. Safe to use from several threads; each call reads only what is new."""

    def __init__(self, redis: Redis, *, whole: bool = False, recent: bool = False) -> None:
        """`whole`: read it from its beginning, also if a book is stored; for the process that stores it.

        `recent`: perhaps without the machines that ended over RECENT_FOR ago.
        """
        self._redis: Any = redis
        self._tokens = TokenStream(redis)
        self._whole, self._recent = whole, recent
        self._book = Book()
        self._positions = dict.fromkeys((LEDGER, TOKENS), START_OF_STREAM)
        self._removed = 0
        """REMOVED, as of the beginning of the book."""
        self._has_earlier = False
        """Whether the counts are read that the stream of tokens continues."""
        self._tokens_since = datetime.min.replace(tzinfo=UTC)
        """The book has no tokens of earlier hours."""
        self._unmade: dict[tuple[DeploymentId, int], list[str]] = {}
        """The positions of the entries of each machine that was never booked; only if `whole`."""
        self._lock = threading.Lock()

    def book(self) -> Book:
        """The use of every machine so far. Raises RedisError."""
        with self._lock:
            self._compare(LEDGER, TOKENS)
            self._begin()
            self._read(LEDGER)
            if not self._has_earlier:
                self._book = replace(self._book, counts=self._tokens.earlier() | self._book.counts)
                self._has_earlier = True
            return self._read(TOKENS)

    def newest(self) -> tuple[Book, str]:
        """The book, perhaps without tokens, and the id of its newest entry, empty if there is none: for `Log.intend`.

        Raises RedisError.
        """
        with self._lock:
            self._compare(LEDGER)
            self._begin()
            book = self._read(LEDGER)
            return book, self._positions[LEDGER].removeprefix("(").removeprefix(START_OF_STREAM)

    def _compare(self, *streams: str) -> None:
        """Start again if what was read last is gone: an older copy of Redis was restored, and may have grown since.

        Also after a removal: a reservation may have been read, and its release may be gone.
        """
        removed = int(self._redis.get(REMOVED) or 0)
        if removed != self._removed:
            self._removed, self._unmade = removed, {}
            self._book = Book(counts=self._book.counts, tokens=self._book.tokens)
            self._positions[LEDGER] = START_OF_STREAM
        for stream in streams:
            last = self._positions[stream].removeprefix("(")
            if last != START_OF_STREAM and not self._redis.xrange(stream, min=last, max=last):
                self._book, self._unmade, self._has_earlier = Book(), {}, False
                self._positions = dict.fromkeys(self._positions, START_OF_STREAM)

    def _begin(self) -> None:
        """Begin with the stored book, unless entries were read already, or its position is not in the ledger."""
        if self._whole or self._positions[LEDGER] != START_OF_STREAM:
            return
        stored = self._stored_recent() if self._recent else None
        stored = stored or stored_book.read(self._redis.get(BOOK))
        if stored is not None and self._redis.xrange(LEDGER, min=stored[1], max=stored[1]):
            book, position = stored
            self._book = replace(book, counts=self._book.counts, tokens=self._book.tokens)
            self._positions[LEDGER] = f"({position}"

    def _stored_recent(self) -> tuple[Book, str] | None:
        """The recent book; None if an earlier version, which does not know it, has stored the whole book since."""
        recent = stored_book.read(self._redis.get(RECENT))
        beginning: bytes = self._redis.getrange(BOOK, 0, BEGINNING)
        return recent if recent is not None and f'"{recent[1]}"'.encode() in beginning else None

    def store(self, now: datetime) -> None:
        """Store the book for processes that begin, if many entries were added since, and remove what is void.

        Raises RedisError.
        """
        book, newest = self.newest()
        stored = stored_book.read(self._redis.get(BOOK))
        if newest and (stored is None or self._is_far_behind(stored[1])):
            recent = stored_book.ended_since(book, now - RECENT_FOR)
            with self._redis.pipeline(transaction=True) as both:
                both.set(BOOK, stored_book.encoded(book, newest)).set(RECENT, stored_book.encoded(recent, newest))
                both.execute()
            self._remove_void(newest)

    def _remove_void(self, newest: str) -> None:
        """Remove the reservations that were released before any machine existed: they change no book.

        A ladder that is dry for months makes a hundred of them every half hour. The entry at
        `newest` stays: the stored book continues after it. Of each machine, the oldest entry is removed first.
        """
        with self._lock:
            if self._positions[LEDGER] != f"({newest}":
                return  # more was read meanwhile: the stored book may hold what was released since
            gone = [key for key in self._unmade if key not in self._book.reserved]
            void = [key for key in gone if newest not in self._unmade[key]]
            positions = [position for key in void for position in self._unmade.pop(key)]
            for begin in range(0, len(positions), BATCH):
                with self._redis.pipeline() as both:
                    both.incr(REMOVED).xdel(LEDGER, *positions[begin : begin + BATCH])
                    removed, _ = both.execute()
                if removed == self._removed + 1:  # this process knows what it removed
                    self._removed = removed

    def _is_far_behind(self, position: str) -> bool:
        return len(self._redis.xrange(LEDGER, min=f"({position}", count=STORED_EVERY)) >= STORED_EVERY

    def _read(self, stream: str) -> Book:
        while entries := self._redis.xrange(stream, min=self._positions[stream], count=BATCH):
            found = list(_decoded(entries))
            self._book = fold((entry for _, entry in found), onto=self._book)
            if self._whole:
                self._note(found)
            if stream == TOKENS and found:
                self._forget_tokens(found[-1][1])
            self._positions[stream] = f"({entries[-1][0].decode()}"
        return self._book

    def _forget_tokens(self, newest: LedgerEntry) -> None:
        """Leave out, once a day, the hours that the stream keeps no longer."""
        since = newest.at - TOKENS_KEPT if isinstance(newest, TokensCounted) else self._tokens_since
        if since - self._tokens_since >= timedelta(days=1):
            self._tokens_since = since
            kept = {key: count for key, count in self._book.tokens.items() if key[1] >= since}
            self._book = replace(self._book, tokens=kept)

    def _note(self, found: Sequence[tuple[str, LedgerEntry]]) -> None:
        """Remember where the entries of machines are that are not booked."""
        for position, entry in found:  # only these: `_unmade` is long before the first removal
            match entry:
                case MachineBooked():
                    self._unmade.pop((entry.deployment, entry.attempt), None)
                case MachineReserved() | ReservationReleased() | MachineClosed():
                    key = entry.deployment, entry.attempt
                    if key not in self._book.uses:
                        self._unmade.setdefault(key, []).append(position)
                case _:
                    pass

    def complete(self, log: Log, since: datetime, now: datetime) -> int:
        """Book what the logs contain and the ledger does not; return the number of entries.

        An earlier version of a worker books nothing: this is called while a process is the sweeper, too. An entry that
        two processes append has no effect the second time. `since`: the logs of deployments that ended earlier are not
        read. A machine whose log is gone, or whose deployment has ended, may end unseen by its lease, and is closed.
        """
        book, added, names = self.book(), 0, set(log.names().values())
        for deployment in {*names, *log.ended(since)}:
            if any(not _has(book, entry) for entry in _entries(log, deployment)):
                added += sum(self._booked(entry) for entry in self._lacking(log, deployment))
        running = [key for key, use in book.uses.items() if use.ended is None] + list(book.reserved)
        gone = {deployment for deployment in {key[0] for key in running} if log.version(deployment) == START}
        for deployment, attempt in (key for key in running if key[0] in gone):
            added += self._booked(MachineClosed(deployment=deployment, attempt=attempt, ended=now))
        for deployment in {key[0] for key in running} - gone - names:
            added += sum(self._booked(closed) for closed in _lapsed(log, deployment, now) if not _has(book, closed))
        return added

    def _lacking(self, log: Log, deployment: DeploymentId) -> list[LedgerEntry]:
        """What the ledger lacks of a log; nothing if the log grows meanwhile.

        A book older than the log would lack what was booked in between, and a reservation that was released since
        then would be booked again. The next completion repeats it.
        """
        version = log.version(deployment)
        entries, book = list(_entries(log, deployment)), self.book()
        return [entry for entry in entries if not _has(book, entry)] if log.version(deployment) == version else []

    def settle(self, deployment: DeploymentId, attempt: int, machine: str, ended: datetime) -> bool:
        """Book the cloud's time of a machine's end, also in place of ours. Returns whether it is booked.

        A machine without an end may be one that its deployment did not wait for: no worker looks at it any more.
        """
        use = self.book().uses.get((deployment, attempt))
        if use is None or use.booked.machine != machine:
            return False
        if use.ended is None or use.estimated:
            self._booked(MachineClosed(deployment=deployment, attempt=attempt, ended=ended, estimated=False))
        return True

    def count(self, entry: TokensCounted) -> None:
        self._tokens.append(entry)

    def trim_tokens(self, before: datetime) -> int:
        """Remove the counts of tokens that were booked earlier; return their number. Raises RedisError."""
        return self._tokens.trim(before)

    def reprice(self, entry: MachineRepriced) -> None:
        self._booked(entry)

    def _booked(self, entry: LedgerEntry) -> int:
        self._redis.xadd(LEDGER, {"e": encode(entry)})
        return 1


def _decoded(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> Iterator[tuple[str, LedgerEntry]]:
    """The position and the entry of each that this version can read."""
    for position, fields in entries:
        try:
            yield position.decode(), decode(fields[b"e"])
        except (MsgspecError, KeyError):
            _LOG.warning("An entry of the ledger is of a newer version, or no entry, and is left out.")


def _entries(log: Log, deployment: DeploymentId) -> Iterator[LedgerEntry]:
    try:
        events = log.read(deployment)
    except MsgspecError:
        return  # a newer version wrote it, and booked it
    found = [event for event in events if not isinstance(event, NewerEvent)]
    after = [entry for event in found if (entry := entry_of(deployment, event)) is not None]
    entries = [*_before(deployment, events), *after]
    book = fold(entries)
    for entry in entries:
        if isinstance(entry, MachineClosed) and (deployment, entry.attempt) not in book.uses:
            yield ReservationReleased(deployment=deployment, attempt=entry.attempt)
        elif not isinstance(entry, MachineReserved) or (deployment, entry.attempt) in book.reserved:
            yield entry


def _before(deployment: DeploymentId, events: Sequence[LoggedEvent]) -> Iterator[LedgerEntry]:
    """The entries of what the snapshot of a shortened log still tells of the events before it."""
    if not events or not isinstance(events[0], Snapshotted):
        return
    state = fold_log(deployment, events[:1])
    assert state is not None  # noqa: S101 - a snapshot is a state
    place, id_ = state.place, events[0].event_id
    yield DeploymentBooked(
        deployment=deployment,
        at=state.requested_at,
        name=state.name,
        recipe=state.recipe.name,
        user=place.user,
        channel=place.channel,
    )
    for attempt in state.attempts:
        intended = LaunchIntended(event_id=id_, at=attempt.intended_at, request=attempt.request)
        made = attempt.machine and MachineCreated(
            event_id=id_, at=attempt.intended_at, attempt=attempt.number, machine=attempt.machine
        )
        event = made or (intended if attempt.phase in MAY_COST else None)
        if event and (entry := entry_of(deployment, event)) is not None:
            yield entry
        if attempt.machine and attempt.gone_at:
            yield MachineClosed(deployment=deployment, attempt=attempt.number, ended=attempt.gone_at)


def _lapsed(log: Log, deployment: DeploymentId, now: datetime) -> Iterator[MachineClosed]:
    """The ends of the machines of a deployment that has ended, by their leases, which nobody extends any more."""
    try:
        state = fold_log(deployment, log.read(deployment))
    except MsgspecError:
        return
    for attempt in state.attempts if state and state.ended and not state.newer else ():
        if attempt.machine and attempt.phase in MAY_COST and has_ended_itself(attempt, now):
            yield MachineClosed(deployment=deployment, attempt=attempt.number, ended=attempt.expires_at)


def _has(book: Book, entry: LedgerEntry) -> bool:
    if isinstance(entry, DeploymentBooked):
        return entry.deployment in book.owners
    key = entry.deployment, entry.attempt
    use = book.uses.get(key)
    if isinstance(entry, MachineReserved):
        return use is not None or key in book.reserved
    if isinstance(entry, ReservationReleased):
        return key not in book.reserved
    return use is not None and (isinstance(entry, MachineBooked) or use.ended is not None)
