"""PURE: the fold of the ledger as it is stored beside it, so that a short process need not read every entry."""

from datetime import datetime

import msgspec
from msgspec import MsgspecError, Struct
from msgspec.structs import replace

from workers.deployment.events import DeploymentId
from workers.deployment.ledger import (
    Book,
    DeploymentBooked,
    MachineRepriced,
    MachineReserved,
    Use,
)

BOOK = "mixtral:ledger:book"
"""The book as it was at a position of the ledger. Without it, the ledger is read from its beginning."""

RECENT = "mixtral:ledger:book:recent"
"""The same without the machines that ended long ago: a purchase needs those of this month."""

BOOK_SCHEMA = 2
"""Raised with each new kind or field of an entry and each change of the fold: a book of another schema is not used.

A process of an earlier version leaves out of the book that it stores what it does not know.
"""


class StoredBook(Struct, frozen=True, kw_only=True):
    """A book without tokens."""

    schema: int = BOOK_SCHEMA
    position: str
    """The id of the newest entry in it."""
    owners: tuple[DeploymentBooked, ...]
    uses: tuple[Use, ...]
    reserved: tuple[MachineReserved, ...]
    early: tuple[MachineRepriced, ...]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(StoredBook).decode


def encoded(book: Book, position: str) -> bytes:
    return _encode(
        StoredBook(
            position=position,
            owners=tuple(book.owners.values()),
            uses=tuple(book.uses.values()),
            reserved=tuple(book.reserved.values()),
            early=tuple(price for prices in book.early.values() for price in prices),
        )
    )


def ended_since(book: Book, since: datetime) -> Book:
    """Without the machines that ended earlier. All owners stay: their deployments may get machines later."""
    return replace(book, uses={key: u for key, u in book.uses.items() if u.ended is None or u.ended >= since})


def read(stored: bytes | None) -> tuple[Book, str] | None:
    """The book and its position; None if there is none that this version can read."""
    try:
        found = _decode(stored or b"")
    except MsgspecError:
        return None
    if found.schema != BOOK_SCHEMA:
        return None
    early: dict[tuple[DeploymentId, int], tuple[MachineRepriced, ...]] = {}
    for price in found.early:
        key = price.deployment, price.attempt
        early[key] = (*early.get(key, ()), price)
    return (
        Book(
            owners={owner.deployment: owner for owner in found.owners},
            uses={(use.booked.deployment, use.booked.attempt): use for use in found.uses},
            reserved={(one.deployment, one.attempt): one for one in found.reserved},
            early=early,
        ),
        found.position,
    )
