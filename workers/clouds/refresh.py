"""One refresh of the prices: reads the clouds, sifts and merges the prices, and writes them to Redis or to a file."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from workers.clouds.driver import DriverError
from workers.clouds.quotes import ON_DEMAND, Source
from workers.placement import catalog, prices, shared_prices
from workers.placement.doubts import Row, comparison, on_demand
from workers.placement.in_use import read_file, table_of
from workers.placement.newest import newest
from workers.placement.prices import Merged, Quote, Reading
from workers.placement.shared_prices import SharedPrices

logger = logging.getLogger(__name__)

DROPPED_KEPT = 5
"""Maximum number of rejected prices that `check` lists."""

Answers = Mapping[str, Reading | Exception]
"""By name of the source."""


class PriceStore(Protocol):
    """Where refreshed prices are kept."""

    @property
    def name(self) -> str: ...

    def read(self) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        """The rows of the last refresh, and a sentence for what cannot be read of it."""

    def write(self, table: Sequence[Row] | None, failed: tuple[str, ...], at: datetime) -> None:
        """Replace the rows; `table` is None if no price was read. Raises PricesError, RedisError."""


class InFile:
    """A file of this host."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def read(self) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        return read_file(self._path)

    def write(self, table: Sequence[Row] | None, failed: tuple[str, ...], at: datetime) -> None:  # noqa: ARG002 - Redis keeps them
        if table is not None:
            prices.write(self._path, prices.as_csv(table))


class InRedis:
    """The key that all hosts of an installation read."""

    name = "Redis"

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    def read(self) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        found, why = shared_prices.load(self._redis)
        rows, ignored = table_of(found.table if found else "")
        return rows, (*((why,) if why else ()), *ignored)

    def write(self, table: Sequence[Row] | None, failed: tuple[str, ...], at: datetime) -> None:
        if table is None:
            last, _ = shared_prices.load(self._redis)
            text = last.table if last else ""
        else:
            text = prices.as_csv(table)
        shared_prices.store(self._redis, SharedPrices(table=text, tried_at=at, failed=failed))


class Refreshed(Struct, frozen=True, kw_only=True):
    """The outcome of a refresh."""

    merged: Merged
    listed: frozenset[str]
    """Clouds of which on-demand prices were read."""
    failed: tuple[str, ...]
    """A sentence for each source, or part of one, that could not be read."""
    ignored: tuple[str, ...]
    """A sentence for what could not be read of the last refresh."""


def refresh(
    store: PriceStore,
    sources: Callable[[Sequence[Row]], Mapping[str, Source]],
    ask: Callable[[Mapping[str, Source]], Answers],
    at: datetime,
) -> Refreshed:
    """Read the sources for the newest table, and write the merged one. Raises PricesError, RedisError."""
    last, ignored = store.read()
    before = newest(catalog.shipped(), _sound(last))
    answers = ask(sources(before))
    readings = {name: answer for name, answer in answers.items() if isinstance(answer, Reading)}
    sold = {at: there for reading in readings.values() for at, there in reading.sold.items()}
    merged = prices.merge(before, _of(readings), sold, today=at.date())
    failed = tuple(_failed(answers))
    said = (*failed, *merged.dropped[:DROPPED_KEPT])
    if len(merged.dropped) > DROPPED_KEPT:
        said = (*said, f"{len(merged.dropped) - DROPPED_KEPT} more prices were left out.")
    store.write(merged.table if merged.taken else None, said, at)
    listed = frozenset(quote.cloud for reading in readings.values() for quote in reading.quotes if not quote.spot)
    return Refreshed(merged=merged, listed=listed, failed=failed, ignored=ignored)


def one_by_one(sources: Mapping[str, Source]) -> dict[str, Reading | Exception]:
    """Ask the sources one after the other. Each call of a source has a timeout."""
    found: dict[str, Reading | Exception] = {}
    for name, source in sources.items():
        try:
            found[name] = source()
        except DriverError as error:
            found[name] = error
        except Exception as error:
            logger.exception("%s could not be read", name)
            found[name] = error
    return found


def _sound(last: Iterable[Row]) -> Iterable[Row]:
    """Leave out the rows that are doubtful beside the shipped ones: they may come from an earlier, wrong table."""
    shipped = comparison((), catalog.shipped())
    return (row for row in last if not on_demand(row, shipped).doubtful)


def _of(readings: Mapping[str, Reading]) -> Iterable[Quote]:
    """Yield each price once. If two sources have it, for the zone or its region, the cloud's own list is used."""
    listed: set[tuple[str, str, str]] = set()
    for name in dict.fromkeys((*reversed(ON_DEMAND), *readings)):
        quotes = readings[name].quotes if name in readings else ()
        for quote in quotes:
            places = {(quote.cloud, place, quote.instance_type) for place in (quote.place, quote.region)}
            if quote.spot or not places & listed:
                yield quote
        listed |= {(quote.cloud, quote.place, quote.instance_type) for quote in quotes if not quote.spot}


def _failed(answers: Answers) -> Iterable[str]:
    for name, answer in answers.items():
        if isinstance(answer, Exception):
            why = str(answer)
            cause = why if name.split("'")[0] in why else f"{name}: {why}"
            yield f"Not read: {cause.rstrip('.')}."
        else:
            yield from (f"Not read: {cause.rstrip('.')}." for cause in answer.failed)
