"""The price table: offers.csv or the CSV named by MIXTRAL_PRICES. Cached until the file changes."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from workers.errors import WorkersError
from workers.placement.offer import Offer
from workers.placement.unpriced import unpriced

READ_IN = "2026-11"
"""Month in which the prices of offers.csv were read from the clouds."""

COLUMNS = (
    "cloud", "region", "zone", "instance_type", "accelerator", "count", "gpu_memory_gib", "vcpus", "memory_gib",
    "on_demand_usd_h", "spot_usd_h",
)  # fmt: skip
NAMED = ("cloud", "region", "zone", "instance_type")

READ_ON = "read_on"
"""Extra column in the output of `mixtral-bot prices`: when the row's price was read, as 2026-11 or 2026-11-23."""

REFRESHED = "prices.csv"
"""File name of the refreshed table, under MIXTRAL_HOME."""

TOLERANCE = Decimal("0.0001")
"""Prices that differ by at most this many USD per hour are equal: spot prices have four decimals."""

MAX_BYTES = 20_000_000  # of a price table
MISTAKES_LISTED = 3  # maximum number of invalid lines in an error


class PricesError(WorkersError):
    """A price table cannot be read."""


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table: a machine type in a zone."""

    cloud: str
    region: str
    zone: str
    instance_type: str
    accelerator: str | None
    count: int
    gpu_memory_gib: Decimal | None
    vcpus: int
    memory_gib: Decimal
    on_demand: Decimal | None
    spot: Decimal | None


def load(path: Path | None = None) -> tuple[Offer, ...]:
    """All offers of the table, and offers without a price for the machine types that it lacks. Raises PricesError."""
    path = path or ours()
    try:
        stat = path.stat()
        if stat.st_size > MAX_BYTES:
            raise PricesError(f"{path} has {stat.st_size:,} bytes; the maximum for a price table is {MAX_BYTES:,}.")
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise PricesError(f"The prices in {path} cannot be read: {error.strerror}. Check MIXTRAL_PRICES.") from error


def chosen(environ: Mapping[str, str]) -> Path | None:
    """Path of the table in use: named by MIXTRAL_PRICES, else the refreshed one if it exists; None for offers.csv."""
    if named := environ.get("MIXTRAL_PRICES"):
        return Path(named).expanduser()
    path = refreshed(environ)
    return path if path.is_file() else None


def refreshed(environ: Mapping[str, str]) -> Path:
    """Path to which `mixtral-bot prices` writes. The file may not exist."""
    home = environ.get("MIXTRAL_HOME")
    return Path(home or Path(environ.get("HOME", "~")).expanduser() / ".mixtral-bot") / REFRESHED


def dated(path: Path | None = None) -> str:
    """Age of the prices, for people: `read in 2026-11`, a date for each cloud, or when the user's own file changed."""
    if path is None:
        return f"read in {READ_IN}"
    try:
        days = read_on(path)
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, UnicodeDecodeError, csv.Error):
        return f"from {path.name}"
    if not days:
        return f"from {path.name}, changed on {changed:%Y-%m-%d}"
    return "read " + ", ".join(f"{_span(days[cloud])} ({cloud.upper()})" for cloud in sorted(days))


def read_on(path: Path) -> dict[str, tuple[str, ...]]:
    """For each cloud, the dates on which its rows were read, oldest first; empty if the table has no such column."""
    found: dict[str, set[str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for cells in csv.DictReader(file):
            if (day := cells.get(READ_ON)) and (cloud := cells.get("cloud")):
                found.setdefault(cloud.strip().lower(), set()).add(day.strip()[:10])
    return {cloud: tuple(sorted(days)) for cloud, days in found.items()}


def _span(days: tuple[str, ...]) -> str:
    if len(days) > 1:
        return f"from {days[0]} to {days[-1]}"
    return f"{'on' if days[0].count('-') > 1 else 'in'} {days[0]}"


def ours() -> Path:
    """Path of the table that is part of the product."""
    return Path(str(files("workers.placement"))) / "offers.csv"


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> tuple[Offer, ...]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PricesError(f"{path} is not UTF-8 text. A price table is a CSV with {', '.join(COLUMNS)}.") from error
    return offers(rows(text, path.name))


def offers(table: tuple[Row, ...]) -> tuple[Offer, ...]:
    """Two offers for each row, on demand and spot, then offers for the machine types that the table lacks."""
    types = frozenset((row.cloud, row.instance_type) for row in table)
    return (*(offer for row in table for offer in (on_demand(row), spot(row))), *unpriced(types))


def on_demand(row: Row) -> Offer:
    """The row's on-demand offer. Doubtful if its price is below the spot price; the spot price is then used."""
    price, lower = row.on_demand, row.spot
    if price is not None and lower is not None and price < lower - TOLERANCE:
        doubt = f"the table's on-demand price, {price:f}, is below its spot price, {lower:f}"
        return _offer(row, spot=False, price=lower, doubtful=doubt)
    return _offer(row, spot=False, price=price, doubtful=None)


def spot(row: Row) -> Offer:
    """The row's spot offer. Doubtful unless its price is below the on-demand price; the higher one is then used."""
    price, upper = row.spot, row.on_demand
    if price is None:
        doubt: str | None = "the table has no spot price; the on-demand price is used"
        return _offer(row, spot=True, price=upper, doubtful=doubt if upper is not None else None)
    if upper is None:
        doubt = "the table has no on-demand price to compare with"
    elif price > upper + TOLERANCE:
        doubt = f"the table's on-demand price, {upper:f}, is below its spot price, {price:f}"
    elif price >= upper - TOLERANCE:
        doubt = "the table's spot price equals its on-demand price"
    else:
        doubt = None
    return _offer(row, spot=True, price=max(price, upper or price) if doubt else price, doubtful=doubt)


def _on_demand_beside(row: Row, *, spot: bool) -> Decimal | None:
    """Never below the spot price, so that a doubtful row shows no saving."""
    return on_demand(row).usd_per_hour if spot else None


def _offer(row: Row, *, spot: bool, price: Decimal | None, doubtful: str | None) -> Offer:
    return Offer(
        cloud=row.cloud,
        region=row.region,
        zone=row.zone,
        instance_type=row.instance_type,
        accelerator=row.accelerator,
        count=row.count,
        spot=spot,
        usd_per_hour=price,
        on_demand_usd_per_hour=_on_demand_beside(row, spot=spot),
        doubtful=doubtful,
        vcpus=row.vcpus,
        memory_gib=row.memory_gib,
        gpu_memory_gib=row.gpu_memory_gib,
    )


def rows(text: str, name: str) -> tuple[Row, ...]:
    """Parse the table's text. Raises PricesError that lists the invalid lines of the file `name`."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found: dict[tuple[str, ...], tuple[int, Row]] = {}
    mistakes: list[str] = []
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise PricesError(f"{name}:1: the column {missing[0]} is missing. Required are {', '.join(COLUMNS)}.")
        for cells in reader:
            line = reader.line_num
            try:
                row = _row(cells)
            except ValueError as error:
                mistakes.append(f"{name}:{line}: {error}")
                continue
            key = (row.cloud, row.region, row.zone, row.instance_type, str(row.accelerator))
            if key in found:
                mistakes.append(f"{name}:{line}: repeats line {found[key][0]}")
            found[key] = (line, row)
    except csv.Error as error:
        raise PricesError(f"{name}:{reader.reader.line_num}: {error}.") from error
    if mistakes:
        raise PricesError("; ".join(_some(mistakes)) + ". Correct the price table.")
    return tuple(row for _, row in found.values())


def _some(mistakes: list[str]) -> Iterator[str]:
    yield from mistakes[:MISTAKES_LISTED]
    if len(mistakes) > MISTAKES_LISTED:
        yield f"and {len(mistakes) - MISTAKES_LISTED} more lines"


def _row(cells: Mapping[str | None, str | None]) -> Row:
    """Raises ValueError that describes the error in the line."""
    if None in cells or None in cells.values():
        raise ValueError(f"has {'more' if None in cells else 'fewer'} cells than the header")
    text = {column: (cells[column] or "").strip() for column in COLUMNS}
    for column in NAMED:
        if not text[column] or not text[column].isprintable():
            raise ValueError(f"{column} is empty")
    accelerator = text["accelerator"] or None
    return Row(
        cloud=text["cloud"].lower(),
        region=text["region"],
        zone=text["zone"],
        instance_type=text["instance_type"],
        accelerator=accelerator,
        count=_whole("count", text["count"] or "0", least=1 if accelerator else 0),
        gpu_memory_gib=_decimal("gpu_memory_gib", text["gpu_memory_gib"]),
        vcpus=_whole("vcpus", text["vcpus"], least=1),
        memory_gib=_decimal("memory_gib", text["memory_gib"]) or Decimal(0),
        on_demand=_decimal("on_demand_usd_h", text["on_demand_usd_h"]),
        spot=_decimal("spot_usd_h", text["spot_usd_h"]),
    )


def _whole(column: str, text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7) or int(text) < least:  # noqa: PLR2004 - a million
        raise ValueError(f'{column} is "{text[:40]}", not a whole number of at least {least}')
    return int(text)


def _decimal(column: str, text: str) -> Decimal | None:
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 < number < 10**6:
        raise ValueError(f'{column} is "{text[:40]}", not a number above 0')
    return number
