"""Updates a price table: validates quotes, merges them into the table, and writes the file atomically."""

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from workers.placement.catalog import COLUMNS, READ_IN, READ_ON, PricesError, Row, rows
from workers.placement.unpriced import TYPES

MAX_PRICE = Decimal(1000)
"""Maximum plausible price of one machine, in USD per hour."""

ODD = 5
"""A price that differs from the previous one by this factor or more is rejected as an error."""


class Quote(Struct, frozen=True, kw_only=True):
    """A price from one source."""

    cloud: str
    instance_type: str
    region: str
    zone: str
    """AWS: a zone id. Empty if the price applies to every zone of the region."""
    spot: bool
    usd_per_hour: Decimal
    source: str
    """Name of the source, for people."""

    @property
    def place(self) -> str:
        return self.zone or self.region


def read_quote(
    *, cloud: str, instance_type: str, region: str, zone: str, price: str, source: str, spot: bool = False
) -> Quote:
    """A quote from the text of a price; NaN if the text is not a number."""
    try:
        usd = Decimal(price).normalize()
    except InvalidOperation:
        usd = Decimal("NaN")
    return Quote(
        cloud=cloud,
        instance_type=instance_type,
        region=region,
        zone=zone,
        spot=spot,
        usd_per_hour=usd,
        source=source,
    )


class PriceTable(Struct, frozen=True, kw_only=True):
    """The rows of a price table, and when the on-demand price of each was read."""

    rows: tuple[Row, ...]
    read_on: Mapping[tuple[str, str, str], str]
    """By `key`; a missing row has the date of offers.csv, READ_IN."""


class Merged(Struct, frozen=True, kw_only=True):
    """The result of merging quotes into a table."""

    table: PriceTable
    changed: tuple[str, ...]
    """A sentence for each price that changed."""
    dropped: tuple[str, ...]
    """A sentence for each quote that was rejected."""
    taken: int
    """Number of quotes that apply to at least one row."""


def key(row: Row) -> tuple[str, str, str]:
    return (row.cloud, row.zone, row.instance_type)


def read(text: str, name: str) -> PriceTable:
    """Parse the text of a price table. Raises PricesError."""
    found = rows(text, name)
    days = {
        (cells["cloud"].strip().lower(), cells["zone"].strip(), cells["instance_type"].strip()): day
        for cells in csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        if (day := (cells.get(READ_ON) or "").strip())
    }
    return PriceTable(rows=found, read_on=days)


def merge(table: PriceTable, quotes: Iterable[Quote], *, today: date) -> Merged:
    """Apply the valid quotes to the table, and add rows for zones that it lacks."""
    sound, dropped = _sift(quotes, table.rows)
    everywhere = {(q.cloud, q.region, q.instance_type, q.spot): q for q in sound if not q.zone}
    here = {(q.cloud, q.zone, q.instance_type, q.spot): q for q in sound if q.zone}
    known = {key(row): row for row in table.rows}
    days = dict(table.read_on)
    changed: dict[str, None] = {}
    used: set[tuple[object, ...]] = set()
    for at, row in (known | _added(known, sound)).items():
        for spot in (False, True):
            quote = here.get((row.cloud, row.zone, row.instance_type, spot))
            quote = quote or everywhere.get((row.cloud, row.region, row.instance_type, spot))
            if quote is None:
                continue
            used.add((quote.cloud, quote.place, quote.instance_type, spot))
            before = row.spot if spot else row.on_demand
            if before != quote.usd_per_hour:
                changed.setdefault(_change(quote, before), None)
            row = replace(row, **{"spot" if spot else "on_demand": quote.usd_per_hour})  # noqa: PLW2901 - the row as it is now
            if not spot:
                days[at] = today.isoformat()
        if row.on_demand is not None or at in known:  # a new zone needs an on-demand price
            known[at] = row
    merged = PriceTable(rows=tuple(known[at] for at in sorted(known)), read_on=days)
    return Merged(table=merged, changed=tuple(changed), dropped=tuple(dropped), taken=len(used))


def as_csv(table: PriceTable) -> str:
    """The table as CSV: the columns of offers.csv, and the date on which each row was read."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, READ_ON))
    for row in table.rows:
        writer.writerow(
            (
                *(row.cloud, row.region, row.zone, row.instance_type, row.accelerator or "", row.count),
                *(
                    _plain(row.gpu_memory_gib),
                    row.vcpus,
                    _plain(row.memory_gib),
                    _plain(row.on_demand),
                    _plain(row.spot),
                ),
                table.read_on.get(key(row), READ_IN),
            )
        )
    return out.getvalue()


def write(path: Path, text: str) -> None:
    """Replace the file atomically. Raises PricesError if the text is invalid or the file cannot be written."""
    rows(text, path.name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise PricesError(
            f"{path} cannot be written: {error.strerror}. Free disk space there, or set MIXTRAL_HOME."
        ) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except OSError as error:
        Path(draft).unlink(missing_ok=True)
        raise PricesError(
            f"{path} cannot be written: {error.strerror}. Free disk space there, or set MIXTRAL_HOME."
        ) from error


def _sift(quotes: Iterable[Quote], known: Sequence[Row]) -> tuple[list[Quote], list[str]]:
    """The valid quotes, and a sentence for each rejected one. Quotes of unknown machine types are ignored."""
    types = {(row.cloud, row.instance_type) for row in known} | {(one[0], one[1]) for one in TYPES}
    before = _before(known)
    sound: dict[tuple[object, ...], Quote] = {}
    conflicting: set[tuple[object, ...]] = set()
    dropped: list[str] = []
    for quote in quotes:
        if (quote.cloud, quote.instance_type) not in types:
            continue
        at = (quote.cloud, quote.place, quote.instance_type, quote.spot)
        if why := _fault(quote, before):
            dropped.append(f"Left out {_name(quote)} from {quote.source}: {why}.")
        elif at in sound and sound[at].usd_per_hour != quote.usd_per_hour:
            conflicting.add(at)
            dropped.append(
                f"Left out {_name(quote)} from {quote.source}: "
                f"it has two prices, {sound[at].usd_per_hour:f} and {quote.usd_per_hour:f} USD/h."
            )
        else:
            sound[at] = quote
    return [quote for at, quote in sound.items() if at not in conflicting], dropped


def _before(known: Sequence[Row]) -> dict[tuple[object, ...], Decimal]:
    found: dict[tuple[object, ...], Decimal] = {}
    for row in known:
        for place in (row.zone, row.region):
            if row.on_demand is not None:
                found.setdefault((row.cloud, place, row.instance_type), row.on_demand)
    return found


def _fault(quote: Quote, before: Mapping[tuple[object, ...], Decimal]) -> str:
    price = quote.usd_per_hour
    if not price.is_finite() or not 0 < price <= MAX_PRICE:
        return f"{price} USD/h is not a valid price"
    if not quote.region:
        return "it has no region"
    had = before.get((quote.cloud, quote.place, quote.instance_type))
    if had is None or quote.spot:  # spot prices may change by more than ODD
        return ""
    return "" if had / ODD < price < had * ODD else f"{price:f} USD/h is far from the previous price, {had:f}"


def _added(known: Mapping[tuple[str, str, str], Row], quotes: Sequence[Quote]) -> dict[tuple[str, str, str], Row]:
    """Rows without a price for the zones of quotes that the table lacks."""
    sizes = {(one[0], one[1]): one[2:] for one in TYPES}
    found: dict[tuple[str, str, str], Row] = {}
    for quote in quotes:
        at = (quote.cloud, quote.zone, quote.instance_type)
        if not quote.zone or at in known or at in found or at[::2] not in sizes:
            continue
        gpu, count, gib, vcpus, memory = sizes[at[::2]]
        found[at] = Row(
            cloud=quote.cloud,
            region=quote.region,
            zone=quote.zone,
            instance_type=quote.instance_type,
            accelerator=gpu,
            count=count,
            gpu_memory_gib=Decimal(gib),
            vcpus=vcpus,
            memory_gib=Decimal(memory),
            on_demand=None,
            spot=None,
        )
    return found


def _change(quote: Quote, before: Decimal | None) -> str:
    was = f"{before:f}" if before is not None else "unknown"
    return f"{_name(quote)}: {was} -> {quote.usd_per_hour:f} USD/h"


def _name(quote: Quote) -> str:
    return f"{quote.instance_type}{' spot' if quote.spot else ''} in {quote.place or 'an unknown region'}"


def _plain(number: Decimal | None) -> str:
    return f"{number:f}" if number else ""
