"""`mixtral-bot prices`: reads the clouds' current prices into a file of this installation."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from bot.cli.concurrent import ask
from workers.clouds.quotes import Source, sources
from workers.clouds.usability import statuses
from workers.placement import catalog, prices
from workers.placement.catalog import PricesError
from workers.placement.prices import Merged, PriceTable, Quote

WITHIN = timedelta(seconds=90)
ON_DEMAND = ("gpuhunt", "AWS's price list")
"""Sources in ascending precedence: the price of a later one is used."""

MAX_CHANGES = 12


def run(
    environ: Mapping[str, str], out: TextIO, err: TextIO | None = None, asked: Mapping[str, Source] | None = None
) -> int:
    """Write the table and return 0; return 1 and keep the table if no price could be read. Raises PricesError."""
    path = catalog.refreshed(environ)
    before, notes = _before(path)
    if asked is None:
        aws = statuses(environ, drivers=frozenset({"aws"}))["aws"]
        asked = sources(environ, before.rows, aws=aws.usable)
        notes += [] if aws.usable else [f"Not read: {aws.reason}. To fix it, {aws.mend}."]
    answers = ask(asked, within=WITHIN, console=Console(file=err or sys.stderr))
    quotes = {name: answer for name, answer in answers.items() if not isinstance(answer, Exception)}
    failed = {name: str(answer) for name, answer in answers.items() if isinstance(answer, Exception)}
    merged = prices.merge(before, _of(quotes), today=datetime.now(UTC).date())
    console = Console(file=out, highlight=False, emoji=False, soft_wrap=True)
    for line in (*notes, *_not_read(failed), *merged.dropped):
        console.print(Text(line))
    if not merged.taken:
        age = catalog.dated(path if path.is_file() and before.read_on else None)
        console.print(Text(f"No price could be read. The prices {age} stay in use."))
        return 1
    prices.write(path, prices.as_csv(merged.table))
    for line in _summary(merged, quotes, path, environ):
        console.print(Text(line))
    return 0


def _before(path: Path) -> tuple[PriceTable, list[str]]:
    """Return the shipped table, updated by the one at `path`, and a note if that one cannot be read."""
    own = prices.read(catalog.ours().read_text(encoding="utf-8"), catalog.ours().name)
    try:
        last = prices.read(path.read_text(encoding="utf-8"), path.name)
    except FileNotFoundError:
        return own, []
    except (PricesError, OSError, UnicodeDecodeError) as error:
        cause = str(error).split(". ", 1)[0].rstrip(".")
        return own, [f"{path} is ignored, because it cannot be read: {cause}."]
    both = {prices.key(row): row for table in (own, last) for row in table.rows}
    return PriceTable(rows=tuple(both.values()), read_on=last.read_on), []


def _of(quotes: Mapping[str, Sequence[Quote]]) -> Iterable[Quote]:
    """Yield each price once. If two sources have it, the cloud's own list takes precedence."""
    preferred = {
        (q.cloud, q.place, q.instance_type): q for name in ON_DEMAND for q in quotes.get(name, ()) if not q.spot
    }
    names = dict.fromkeys((*ON_DEMAND, *quotes))
    for name in names:
        for quote in quotes.get(name, ()):
            winner = preferred.get((quote.cloud, quote.place, quote.instance_type))
            if quote.spot or winner is None or winner.source == quote.source:
                yield quote


def _not_read(failed: Mapping[str, str]) -> Iterable[str]:
    for name, why in failed.items():
        cause = why if name.split("'")[0] in why else f"{name}: {why}"
        yield f"Not read: {cause.rstrip('.')}."


def _summary(
    merged: Merged, quotes: Mapping[str, Sequence[Quote]], path: Path, environ: Mapping[str, str]
) -> Iterable[str]:
    yield from merged.changed[:MAX_CHANGES]
    if len(merged.changed) > MAX_CHANGES:
        yield f"… and {len(merged.changed) - MAX_CHANGES} more prices changed."
    if not merged.changed:
        yield "No price has changed."
    listed = {quote.cloud for some in quotes.values() for quote in some if not quote.spot}
    for cloud in sorted({row.cloud for row in merged.table.rows} - listed):
        yield f"On-demand prices of {cloud.upper()} are unchanged: no source that was read lists them."
    yield f"{merged.taken} prices were read. {path} now holds prices {catalog.dated(path)}."
    if environ.get("MIXTRAL_PRICES"):
        yield f"Plans still use {environ['MIXTRAL_PRICES']}, because MIXTRAL_PRICES names it: unset it to use these."
