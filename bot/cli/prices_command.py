"""`mixtral-bot prices`: reads the clouds' current prices into Redis, or into a file of this installation."""

import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from typing import TextIO

from redis.exceptions import RedisError
from rich.console import Console
from rich.text import Text

from bot.cli.concurrent import ask
from workers.clouds import quotes
from workers.clouds.quotes import GPUHUNT, SDK_MEND, Source
from workers.clouds.refresh import InFile, InRedis, PriceStore, Refreshed, refresh
from workers.placement import shared_prices
from workers.placement.catalog import PricesError
from workers.placement.in_use import in_use, refreshed
from workers.redis_failures import failure_of

WITHIN = timedelta(minutes=3)
MAX_CHANGES = 12


def run(
    environ: Mapping[str, str], out: TextIO, err: TextIO | None = None, asked: Mapping[str, Source] | None = None
) -> int:
    """Write the table and return 0; return 1 and keep the table if no price could be read. Raises PricesError."""
    client = shared_prices.connect(environ)
    store: PriceStore = InFile(refreshed(environ)) if client is None else InRedis(client)
    console = Console(file=out, highlight=False, emoji=False, soft_wrap=True)
    try:
        done = refresh(
            store,
            partial(quotes.sources, environ) if asked is None else lambda _: asked,
            partial(ask, within=WITHIN, console=Console(file=err or sys.stderr)),
            datetime.now(UTC),
        )
    except RedisError as error:
        raise PricesError(failure_of(error).report(then="or unset REDIS_URL")) from error
    notes = [] if asked is not None else _notes(environ)
    for line in (*done.ignored, *notes, *done.failed, *done.merged.dropped):
        console.print(Text(line))
    dated = in_use({**environ, "MIXTRAL_PRICES": ""}, shared_prices.of_environ(environ)).dated
    if not done.merged.taken:
        console.print(Text(f"No price could be read. The prices {dated} stay in use."))
        return 1
    for line in _summary(done, store, dated, environ):
        console.print(Text(line))
    return 0


def _notes(environ: Mapping[str, str]) -> Iterable[str]:
    """Yield a sentence for each source that cannot be asked."""
    clouds = quotes.rented(environ)
    for status in clouds.values():
        if not status.usable:
            yield f"Not read: {status.reason}. To fix it, {status.mend}."
    if not all(status.usable for status in clouds.values()) and not find_spec(GPUHUNT):
        yield f"Not read: gpuhunt, a catalogue for which no credentials are needed, is not installed: {SDK_MEND}."


def _summary(done: Refreshed, store: PriceStore, dated: str, environ: Mapping[str, str]) -> Iterable[str]:
    changed = done.merged.changed
    yield from changed[:MAX_CHANGES]
    if len(changed) > MAX_CHANGES:
        yield f"… and {len(changed) - MAX_CHANGES} more prices changed."
    if not changed:
        yield "No price has changed."
    for cloud in sorted({row.cloud for row in done.merged.table} - done.listed):
        yield f"On-demand prices of {cloud.upper()} are unchanged: no source that was read lists them."
    yield f"{done.merged.taken} prices were read. {store.name} now holds prices {dated}."
    if environ.get("MIXTRAL_PRICES"):
        yield f"Plans still use {environ['MIXTRAL_PRICES']}, because MIXTRAL_PRICES names it: unset it to use these."
