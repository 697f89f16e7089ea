"""The prices of an installation: those of its own table, or the newest ones of several tables."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from workers.placement import catalog
from workers.placement.catalog import MAX_BYTES, PricesError
from workers.placement.doubts import Row
from workers.placement.newest import newest
from workers.placement.offer import Offer

REFRESHED = "prices.csv"
"""File name of the table that `mixtral-bot prices` writes without Redis, under MIXTRAL_HOME."""

IN_REDIS = "the table in Redis"

Shared = Callable[[], tuple[str, str]]
"""The table in Redis as CSV, empty if there is none; and why it cannot be used, empty if it can."""


class Prices(Struct, frozen=True, kw_only=True):
    """The offers of an installation, and the origin of their prices."""

    offers: tuple[Offer, ...]
    dated: str
    """When the prices were read, for people, as `catalog.dated` has it."""
    ignored: tuple[str, ...] = ()
    """A sentence for each table that could not be used, wholly or in part."""


def in_use(environ: Mapping[str, str], shared: Shared | None = None, *, today: date | None = None) -> Prices:
    """The prices of the table that MIXTRAL_PRICES names. Raises PricesError if that cannot be read.

    Without it, each price is the newest one of the package, Redis and MIXTRAL_HOME.
    """
    if path := own(environ):
        return Prices(offers=catalog.load(path), dated=catalog.dated(path, today))
    text, why = shared() if shared else ("", "")
    table, offers, ignored = _merged(text, *_changed(refreshed(environ)))
    dated = catalog.read_on(table, today or datetime.now(UTC).date())
    return Prices(offers=offers, dated=dated, ignored=(*((why,) if why else ()), *ignored))


def own(environ: Mapping[str, str]) -> Path | None:
    """Path of the operator's own table, which is used alone."""
    named = environ.get("MIXTRAL_PRICES")
    return Path(named).expanduser() if named else None


def refreshed(environ: Mapping[str, str]) -> Path:
    """Path to which `mixtral-bot prices` writes without Redis. The file may not exist."""
    home = environ.get("MIXTRAL_HOME")
    return Path(home or Path(environ.get("HOME", "~")).expanduser() / ".mixtral-bot") / REFRESHED


def table_of(text: str, whose: str = IN_REDIS, name: str = "CSV") -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The valid rows of a table that a program wrote, and a sentence if there are others."""
    if not text:
        return (), ()
    try:
        found, mistakes = catalog.sound_rows(text, name)
    except PricesError as error:
        return (), (f"{whose[0].upper()}{whose[1:]} is ignored: {str(error).split('. ', 1)[0].rstrip('.')}.",)
    if not mistakes:
        return found, ()
    lines = f"{len(mistakes)} lines of {whose} are" if len(mistakes) > 1 else f"A line of {whose} is"
    return found, (f"{lines} ignored: {mistakes[0]}.",)


def read_file(path: Path) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """As `table_of`, of a file; no rows if it does not exist."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return (), (f"{path} is ignored: it has more than {MAX_BYTES:,} bytes.",)
        return table_of(path.read_bytes().decode("utf-8-sig"), str(path), path.name)
    except FileNotFoundError:
        return (), ()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return (), (f"{path} is ignored: {cause}.",)


def _changed(path: Path) -> tuple[Path, int, int]:
    """The path, and when its content changed: the key of a cache."""
    try:
        stat = path.stat()
    except OSError:
        return path, 0, 0
    return path, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=4)
def _merged(
    text: str, path: Path, _changed: int, _size: int
) -> tuple[tuple[Row, ...], tuple[Offer, ...], tuple[str, ...]]:
    shipped = catalog.shipped()
    in_redis, ignored = table_of(text)
    at_home, ignored_at_home = read_file(path)
    table = newest(shipped, in_redis, at_home)
    return table, catalog.offers(table, shipped), (*ignored, *ignored_at_home)
