"""The ladder as a table for people: one row for zones of one price."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TextIO

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recipes.schema import Recipe
from workers.placement.ladder import Rung
from workers.placement.offer import Offer

MAX_ROWS = 20
WIDE = 110
"""Minimum width of a terminal for reasons in the table, in columns."""

NONE = "-"


def show(recipe: Recipe, rungs: Sequence[Rung], missing: Iterable[str], *, dated: str, out: TextIO) -> None:
    """Print the ladder, its legend, why rungs are not usable, and which GPUs of the recipe have no rung."""
    rows = fold(rungs)
    below = [*_cut(rows), *_doubts(rungs), *_reasons(rungs), *missing, *_notes(recipe)]
    below.append(f"Prices {dated}, in USD per hour for the whole machine.")
    console = Console(file=out, highlight=False, emoji=False)
    ladder = Padding(table(rows[:MAX_ROWS], rungs, wide=console.width >= WIDE), (1, 0))
    console.print(Group(Text(_headline(recipe, rungs)), ladder, *(Text(line) for line in below)))


def fold(rungs: Iterable[Rung]) -> list[tuple[int, list[Rung]]]:
    """Group consecutive rungs that differ only in their zone; each group has the number of its first rung."""
    numbered = enumerate(rungs, start=1)
    return [
        (group[0][0], [rung for _, rung in group])
        for _, same in groupby(numbered, key=lambda pair: _but_for_zone(pair[1]))
        if (group := list(same))
    ]


def table(rows: Iterable[tuple[int, list[Rung]]], rungs: Sequence[Rung], *, wide: bool) -> Table:
    mixed = len({rung.offer.spot for rung in rungs}) > 1
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("#", "USD/h"):
        made.add_column(heading, justify="right", no_wrap=True)
    for heading in ("GPU", "cloud", "zones", "type", *(("billed",) if mixed else ()), "usable"):
        made.add_column(heading, no_wrap=heading != "zones", overflow="fold" if heading == "zones" else "ellipsis")
    for number, group in rows:
        offer = group[0].offer
        cells = [
            str(number),
            _price(offer),
            _gpu(offer),
            offer.cloud or NONE,
            _zones(group),
            offer.instance_type or NONE,
        ]
        if mixed:
            cells.append("spot" if offer.spot else "on demand")
        cells.append("yes" if group[0].usable else (wide and group[0].reason) or "no")
        made.add_row(*(Text(cell) for cell in cells), style="" if group[0].usable else "dim")
    return made


def _headline(recipe: Recipe, rungs: Sequence[Rung]) -> str:
    usable = sum(rung.usable for rung in rungs)
    what = "spot" if all(rung.offer.spot for rung in rungs) else "on demand"
    if len({rung.offer.spot for rung in rungs}) > 1:
        what = "spot and on demand"
    machines = "suitable machine" if len(rungs) == 1 else "suitable machines"
    order = "in the recipe's order of preference" if recipe.ordered else "cheapest first"
    return f"{recipe.name}: {len(rungs)} {machines}, {what}, {order}; {usable or 'none'} usable from here."


def _but_for_zone(rung: Rung) -> tuple[object, ...]:
    offer = rung.offer
    same = (offer.cloud, offer.region, offer.instance_type, offer.accelerator, offer.count)
    return (*same, offer.spot, offer.usd_per_hour, offer.doubtful, rung.usable, rung.reason)


def _price(offer: Offer) -> str:
    if offer.usd_per_hour is None:
        return "unknown"
    return f"{offer.usd_per_hour:.2f}{'?' if offer.doubtful else ''}"


def _gpu(offer: Offer) -> str:
    return f"{offer.accelerator}:{offer.count}" if offer.accelerator else "none"


def _zones(group: Sequence[Rung]) -> str:
    """`us-central1-a, c`; AWS zone ids, which do not contain their region: `us-east-1 (use1-az1, az2)`."""
    first = group[0].offer
    if not first.zone:
        return "any"
    stem, dash, _ = first.zone.rpartition("-")
    zones = [first.zone]
    zones += [rung.offer.zone.removeprefix(stem + dash) for rung in group[1:]]
    listed = ", ".join(zones)
    return listed if first.cloud == "local" or first.zone.startswith(first.region) else f"{first.region} ({listed})"


def _cut(rows: Sequence[tuple[int, list[Rung]]]) -> Iterable[str]:
    left = [rung for _, group in rows[MAX_ROWS:] for rung in group]
    if left:
        dearest = max((rung.offer.usd_per_hour for rung in left if rung.offer.usd_per_hour is not None), default=None)
        upto = f", up to {dearest:.2f} USD/h" if dearest is not None else ""
        yield f"… and {len(left)} more{upto}; --json lists them all."


def _doubts(rungs: Iterable[Rung]) -> Iterable[str]:
    if any(rung.offer.doubtful for rung in rungs):
        yield "? a doubtful price, tried only after all others; --json shows why."


def _reasons(rungs: Iterable[Rung]) -> Iterable[str]:
    for reason, mend in dict.fromkeys((r.reason, r.mend) for r in rungs if not r.usable):
        yield f"Not usable: {reason or 'unknown'}." + (f" To fix it, {mend}." if mend else "")


def _notes(recipe: Recipe) -> Iterable[str]:
    for note in recipe.notes:
        yield f"Line {note.line}, {note.field}: {note.meaning}."
