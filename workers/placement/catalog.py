"""Price tables: CSV files in the columns of offers.csv. Cached until the file changes."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from workers.errors import WorkersError
from workers.placement.age import ago, day_of
from workers.placement.doubts import Row, comparison, offers_of
from workers.placement.offer import Offer
from workers.placement.unpriced import SPOT_ONLY, unpriced

COLUMNS = (
    "cloud", "region", "zone", "instance_type", "accelerator", "count", "gpu_memory_gib", "vcpus", "memory_gib",
    "on_demand_usd_h", "spot_usd_h",
)  # fmt: skip
NAMED = ("cloud", "region", "zone", "instance_type")

READ_ON = ("read_on", "spot_read_on")
"""Optional columns: when the on-demand and the spot price were read, as 2026-11-23 or 2026-11. The latter is the former
if it is empty."""

NOT_SOLD = "none"
"""In a column of prices: the machine is not sold in this way. An empty cell is an unknown price."""

MAX_PRICE = Decimal(1000)
"""Maximum plausible price of one machine, in USD per hour."""

MAX_BYTES = 20_000_000  # of a price table
MISTAKES_LISTED = 3  # maximum number of invalid lines in an error


class PricesError(WorkersError):
    """A price table cannot be read."""


def load(path: Path | None = None) -> tuple[Offer, ...]:
    """All offers of the table, and offers without a price for the machine types that it lacks. Raises PricesError."""
    path = path or ours()
    try:
        stat = path.stat()
        if stat.st_size > MAX_BYTES:
            raise PricesError(f"{path} has {stat.st_size:,} bytes; the maximum for a price table is {MAX_BYTES:,}.")
        return _offers(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise PricesError(f"The prices in {path} cannot be read: {error.strerror}. Check MIXTRAL_PRICES.") from error


def dated(path: Path | None = None, today: date | None = None) -> str:
    """Age of the prices, for people: `read on 2026-08-03 (GCP, 118 days ago)`, or when the user's own file changed.

    The number of days is stated if it is more than a week: the greatest possible one if only the month is known.
    """
    path, today = path or ours(), today or datetime.now(UTC).date()
    try:
        stat = path.stat()
        read = read_on(_read(path, stat.st_mtime_ns, stat.st_size), today)
    except (OSError, PricesError):
        return f"from {path.name}"
    if not read:
        changed = f"{datetime.fromtimestamp(stat.st_mtime, UTC):%Y-%m-%d}"
        return ", ".join(filter(None, (f"from {path.name}", f"changed on {changed}", ago(changed, today))))
    return read


def read_on(table: Iterable[Row], today: date) -> str:
    """As `dated`, of rows; empty if no row has a date."""
    days = _read_on(table)
    return f"read {', '.join(_span(cloud, days[cloud], today) for cloud in sorted(days))}" if days else ""


def _read_on(table: Iterable[Row]) -> dict[str, list[str]]:
    """For each cloud, the dates on which its rows were read, oldest first; empty if the table has no such column."""
    found: dict[str, set[str]] = {}
    for row in table:
        for price, day in ((row.on_demand, row.read_on), (row.spot, row.spot_read_on)):
            if price is not None and day:
                found.setdefault(row.cloud, set()).add(day)
    return {cloud: sorted(days) for cloud, days in found.items()}


def _span(cloud: str, days: Sequence[str], today: date) -> str:
    old = ago(days[0], today)
    if len(days) > 1:
        read, old = f"from {days[0]} to {days[-1]}", old and f"up to {old.removeprefix('up to ')}"
    else:
        read = f"{'on' if days[0].count('-') > 1 else 'in'} {days[0]}"
    return f"{read} ({', '.join(filter(None, (cloud.upper(), old)))})"


def ours() -> Path:
    """Path of the table that is part of the product."""
    return Path(str(files("workers.placement"))) / "offers.csv"


@lru_cache(maxsize=4)
def _offers(path: Path, changed: int, size: int) -> tuple[Offer, ...]:
    return offers(_read(path, changed, size), () if path == ours() else shipped())


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> tuple[Row, ...]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PricesError(f"{path} is not UTF-8 text. A price table is a CSV with {', '.join(COLUMNS)}.") from error
    return rows(text, path.name)


def shipped() -> tuple[Row, ...]:
    """The table that is part of the product."""
    stat = ours().stat()
    return _read(ours(), stat.st_mtime_ns, stat.st_size)


def offers(table: tuple[Row, ...], shipped: Iterable[Row] = ()) -> tuple[Offer, ...]:
    """The offers of each row, compared with those of `shipped`, then offers for the machine types that it lacks."""
    types = frozenset((row.cloud, row.instance_type) for row in table)
    against = comparison(table, shipped)
    return (*(offer for row in table for offer in offers_of(row, against)), *unpriced(types))


def rows(text: str, name: str) -> tuple[Row, ...]:
    """Parse the table's text. Raises PricesError that lists the invalid lines of the file `name`."""
    found, mistakes = sound_rows(text, name)
    if mistakes:
        raise PricesError("; ".join(_some(mistakes)) + ". Correct the price table.")
    return found


def sound_rows(text: str, name: str) -> tuple[tuple[Row, ...], list[str]]:
    """The valid rows of a table, and a clause for each invalid line. Raises PricesError if a column is missing."""
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
    return tuple(row for _, row in found.values()), mistakes


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
    cloud, on_demand, spot = text["cloud"].lower(), text["on_demand_usd_h"], text["spot_usd_h"]
    read_on, spot_read_on = (_day(cells.get(column) or "") for column in READ_ON)
    return Row(
        cloud=cloud,
        region=text["region"],
        zone=text["zone"],
        instance_type=text["instance_type"],
        accelerator=accelerator,
        count=_whole("count", text["count"] or "0", least=1 if accelerator else 0),
        gpu_memory_gib=_decimal("gpu_memory_gib", text["gpu_memory_gib"]),
        vcpus=_whole("vcpus", text["vcpus"], least=1),
        memory_gib=_decimal("memory_gib", text["memory_gib"]) or Decimal(0),
        on_demand=_decimal("on_demand_usd_h", "" if on_demand == NOT_SOLD else on_demand, MAX_PRICE),
        spot=_decimal("spot_usd_h", "" if spot == NOT_SOLD else spot, MAX_PRICE),
        spot_only=on_demand == NOT_SOLD or (cloud, text["instance_type"]) in SPOT_ONLY,
        no_spot=spot == NOT_SOLD,
        read_on=read_on,
        spot_read_on=spot_read_on or read_on,
    )


def _day(text: str) -> str:
    if text := text.strip()[:10]:
        day_of(text)
    return text


def _whole(column: str, text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7) or int(text) < least:  # noqa: PLR2004 - a million
        raise ValueError(f'{column} is "{text[:40]}", not a whole number of at least {least}')
    return int(text)


def _decimal(column: str, text: str, most: Decimal = Decimal(10**6)) -> Decimal | None:
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 < number <= most:
        raise ValueError(f'{column} is "{text[:40]}", not a number above 0 and up to {most:,}')
    return number
