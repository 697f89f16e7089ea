"""Running machines as a table for people, or as rows for programs."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TextIO

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.clouds.usability import NAMES
from workers.machines import Sighting

WIDE = 100
"""Minimum width of a terminal for wide gaps, in columns."""

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


class Wanted(StrEnum):
    """Whether a machine is wanted: its deployment's log contains it and has not ended it."""

    YES = "yes"
    NO = "no"  # the command ends only these
    UNKNOWN = "unknown"


class Found(Struct, frozen=True, kw_only=True):
    """A running machine, and its deployment."""

    sighting: Sighting
    usd_per_hour: Decimal | None
    wanted: Wanted
    by: str
    """The deployment's name, or the reason why the machine is not wanted."""
    ended: bool | None = None
    """Whether it was ended by this command; None if that was not requested."""


def show(
    found: Sequence[Found],
    installation: str,
    unlisted: Sequence[str],
    skipped: Sequence[str],
    *,
    now: datetime,
    out: TextIO,
) -> None:
    """Print the list and its sum. `unlisted`: clouds that did not answer; `skipped`: clouds without credentials."""
    console = Console(file=out, highlight=False, emoji=False)
    if not found:
        blind = [*unlisted, *skipped]
        were = "was" if len(blind) == 1 else "were"
        gaps = f", but {' and '.join(blind)} {were} not listed: machines there are not shown" if blind else ""
        console.print(Text(f"No machine of installation {installation} was found{gaps}."), soft_wrap=True)
        return
    gap = 2 if console.width >= WIDE else 1
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("machine", "cloud", "place"):
        table.add_column(heading, no_wrap=True)  # not wrapped, so that they can be copied
    for heading in ("USD/h", "so far", "age"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("wanted by", overflow="fold")
    for one in sorted(found, key=lambda one: (cloud_of(one), one.sighting.machine.offer.zone, one.sighting.machine.id)):
        machine = one.sighting.machine
        cells = (
            machine.id,
            cloud_of(one),
            machine.offer.zone,
            price_of(one),
            _usd(_spent(one, now)),
            _age(one, now),
            one.by,
        )
        table.add_row(*(Text(cell) for cell in cells), style="" if one.wanted is Wanted.YES else "yellow")
    console.print(table)
    console.print(Text(" ".join(_summary(found, now))), soft_wrap=True)


def _summary(found: Sequence[Found], now: datetime) -> Iterator[str]:
    hourly = sum((one.usd_per_hour or Decimal(0) for one in found), Decimal(0))
    so_far = sum((_spent(one, now) or Decimal(0) for one in found), Decimal(0))
    count = "1 machine" if len(found) == 1 else f"{len(found)} machines"
    unpriced = sum(one.usd_per_hour is None for one in found)
    rest = f", and {unpriced} without a known price" if unpriced else ""
    yield f"{count}, {hourly:.2f} USD/h, {so_far:.2f} USD so far{rest}."
    if orphans := sum(one.wanted is Wanted.NO for one in found):
        which = "1 of them is not wanted" if orphans == 1 else f"{orphans} of them are not wanted"
        yield f"{which}: `mixtral-bot machines --end-orphans` ends {'it' if orphans == 1 else 'them'}."


def as_row(one: Found, now: datetime) -> dict[str, Any]:
    """Return a machine as a JSON object: null where a value is unknown; `ended` only if its end was requested."""
    machine, offer = one.sighting.machine, one.sighting.machine.offer
    spent = _spent(one, now)
    row: dict[str, Any] = {
        "id": machine.id,
        "token": machine.token,
        "cloud": machine.cloud,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "spot": offer.spot,
        "usd_per_hour": None if one.usd_per_hour is None else float(one.usd_per_hour),
        "usd_so_far": None if spent is None else round(float(spent), 4),
        "created_at": machine.created_at.isoformat(),
        "age_seconds": int((now - machine.created_at).total_seconds()),
        "deployment": one.sighting.deployment,
        "replica": one.sighting.replica,
        "attempt": one.sighting.attempt,
        "wanted": {Wanted.YES: True, Wanted.NO: False, Wanted.UNKNOWN: None}[one.wanted],
        "wanted_by": one.by,
    }
    return row if one.ended is None else row | {"ended": one.ended}


def cloud_of(one: Found) -> str:
    return NAMES.get(one.sighting.machine.cloud, one.sighting.machine.cloud)


def _spent(one: Found, now: datetime) -> Decimal | None:
    if one.usd_per_hour is None:
        return None
    seconds = max((now - one.sighting.machine.created_at).total_seconds(), 0)
    return one.usd_per_hour * Decimal(seconds) / 3600


def price_of(one: Found) -> str:
    return _usd(one.usd_per_hour)


def _usd(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount:.2f}"


def _age(one: Found, now: datetime) -> str:
    age = max(now - one.sighting.machine.created_at, timedelta())
    minutes = int(age.total_seconds() // 60)
    if age >= DAY:
        return f"{age // DAY}d{age % DAY // HOUR:02}h"
    return f"{minutes // 60}h{minutes % 60:02}m" if age >= HOUR else f"{minutes}m"
