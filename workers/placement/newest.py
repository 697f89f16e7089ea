"""PURE: combines price tables: each price is the one that was read last."""

from collections.abc import Iterable

from msgspec.structs import replace

from workers.placement.doubts import Row


def newest(*tables: Iterable[Row]) -> tuple[Row, ...]:
    """The rows of all tables. Of two prices of the same day, that of the earlier table is used.

    On-demand and spot prices are compared separately. A month counts from its first day; a price without a date is
    older than any other.
    """
    found: dict[tuple[str, str, str], Row] = {}
    for table in tables:
        for row in table:
            known = found.get(row.key)
            found[row.key] = row if known is None else _newer(known, row)
    return tuple(found.values())


def _newer(known: Row, other: Row) -> Row:
    has, has_spot = other.on_demand is not None or other.spot_only, other.spot is not None or other.no_spot
    had, had_spot = known.on_demand is not None or known.spot_only, known.spot is not None or known.no_spot
    if has and (not had or other.read_on > known.read_on):  # ISO dates: 2026-11 is less than 2026-11-01
        known = replace(known, on_demand=other.on_demand, spot_only=other.spot_only, read_on=other.read_on)
    if has_spot and (not had_spot or other.spot_read_on > known.spot_read_on):
        known = replace(known, spot=other.spot, no_spot=other.no_spot, spot_read_on=other.spot_read_on)
    return known
