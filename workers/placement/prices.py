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

from workers.placement.catalog import COLUMNS, MAX_PRICE, NOT_SOLD, READ_ON, PricesError, rows
from workers.placement.doubts import Row
from workers.placement.unpriced import SPOT_ONLY, TYPES

ODD = 5
"""A price that differs from the previous one by this factor or more is rejected as an error."""


SIZES = {(one[0], one[1]): one[2:] for one in TYPES}
"""GPU, count, GiB of one GPU, vCPUs and GiB of memory, by cloud and machine type."""

NOWHERE = {"on_demand": None, "spot": None, "spot_only": True, "no_spot": True}
"""What a row states of a machine that its zone does not have."""


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


Sold = Mapping[tuple[str, str], frozenset[tuple[str, str]]]
"""By cloud and region: zones and machine types that the region has. A region that did not answer is missing."""


class Reading(Struct, frozen=True, kw_only=True):
    """What one source returned."""

    quotes: tuple[Quote, ...] = ()
    sold: Sold = {}
    failed: tuple[str, ...] = ()
    """A sentence for each part of the source that could not be read."""


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


class Merged(Struct, frozen=True, kw_only=True):
    """The result of merging quotes into a table."""

    table: tuple[Row, ...]
    changed: tuple[str, ...]
    """A sentence for each price that changed."""
    dropped: tuple[str, ...]
    """A sentence for each quote that was rejected."""
    taken: int
    """Number of quotes that apply to at least one row."""


def merge(table: Sequence[Row], quotes: Iterable[Quote], sold: Sold | None = None, *, today: date) -> Merged:
    """Apply the valid quotes to the table, add rows for zones that it lacks, and mark machines that a zone lacks."""
    sold, day = sold or {}, today.isoformat()
    sound, dropped = _sift(quotes, table)
    by_place = {(q.cloud, q.place, q.instance_type, q.spot): q for q in sound}
    known = {row.key: row for row in table}
    changed: dict[str, None] = {}
    used: set[tuple[object, ...]] = set()
    for at, before in (known | _added(known, sound, sold)).items():
        row, told = before, _quotes_of(before, by_place)
        there = sold.get((row.cloud, row.region))
        if there is not None and at[1:] not in there and at[::2] in SIZES:
            row, told = replace(row, **NOWHERE, read_on=day, spot_read_on=day), []
            if at in known and not (before.spot_only and before.no_spot):
                changed.setdefault(f"{row.instance_type} in {row.zone}: the zone does not have it", None)
        elif row.no_spot and there is not None:
            row = replace(row, no_spot=False, spot_only=at[::2] in SPOT_ONLY)  # the zone has it again
        for quote in told:
            used.add((quote.cloud, quote.place, quote.instance_type, quote.spot))
            if (had := row.spot if quote.spot else row.on_demand) != quote.usd_per_hour:
                changed.setdefault(_change(quote, had), None)
            price, when = ("spot", "spot_read_on") if quote.spot else ("on_demand", "read_on")
            row = replace(row, **{price: quote.usd_per_hour, when: day})
        # A new zone needs an on-demand price, if the machine is sold on demand.
        if at in known or row.on_demand is not None or (row.spot_only and row.spot is not None):
            known[at] = row
    merged = tuple(known[at] for at in sorted(known))
    return Merged(table=merged, changed=tuple(changed), dropped=tuple(dropped), taken=len(used))


def _quotes_of(row: Row, by_place: Mapping[tuple[str, str, str, bool], Quote]) -> list[Quote]:
    """The row's on-demand and its spot quote, if there are any: of the zone, else of the region."""
    found = []
    for spot in (False, True):
        places = (row.zone, row.region)
        quotes = [by_place.get((row.cloud, place, row.instance_type, spot)) for place in places]
        found += [quote for quote in quotes if quote is not None][:1]
    return found


def as_csv(table: Iterable[Row]) -> str:
    """The table as CSV: the columns of offers.csv, and the dates on which the prices were read."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, *READ_ON))
    for row in table:
        writer.writerow(
            (
                *(row.cloud, row.region, row.zone, row.instance_type, row.accelerator or "", row.count),
                *(
                    _plain(row.gpu_memory_gib),
                    row.vcpus,
                    _plain(row.memory_gib),
                    NOT_SOLD if row.spot_only and row.on_demand is None else _plain(row.on_demand),
                    NOT_SOLD if row.no_spot and row.spot is None else _plain(row.spot),
                ),
                row.read_on,
                row.spot_read_on,
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
    types = {(row.cloud, row.instance_type) for row in known} | SIZES.keys()
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
    if not quote.spot and (quote.cloud, quote.instance_type) in SPOT_ONLY:
        return "this type is not sold on demand"
    had = before.get((quote.cloud, quote.place, quote.instance_type))
    if had is None or quote.spot:  # spot prices may change by more than ODD
        return ""
    return "" if had / ODD < price < had * ODD else f"{price:f} USD/h is far from the previous price, {had:f}"


def _added(
    known: Mapping[tuple[str, str, str], Row], quotes: Sequence[Quote], sold: Sold
) -> dict[tuple[str, str, str], Row]:
    """Rows without a price for the zones that the table lacks: those of quotes, and those that have a machine."""
    places = {(q.cloud, q.zone, q.instance_type): q.region for q in quotes if q.zone}
    for (cloud, region), there in sold.items():
        places |= {(cloud, zone, type_): region for zone, type_ in there}
    found: dict[tuple[str, str, str], Row] = {}
    for at, region in places.items():
        if at in known or at[::2] not in SIZES:
            continue
        gpu, count, gib, vcpus, memory = SIZES[at[::2]]
        found[at] = Row(
            cloud=at[0],
            region=region,
            zone=at[1],
            instance_type=at[2],
            accelerator=gpu,
            count=count,
            gpu_memory_gib=Decimal(gib),
            vcpus=vcpus,
            memory_gib=Decimal(memory),
            on_demand=None,
            spot=None,
            spot_only=at[::2] in SPOT_ONLY,
        )
    return found


def _change(quote: Quote, before: Decimal | None) -> str:
    was = f"{before:f}" if before is not None else "unknown"
    return f"{_name(quote)}: {was} -> {quote.usd_per_hour:f} USD/h"


def _name(quote: Quote) -> str:
    return f"{quote.instance_type}{' spot' if quote.spot else ''} in {quote.place or 'an unknown region'}"


def _plain(number: Decimal | None) -> str:
    return f"{number:f}" if number else ""
