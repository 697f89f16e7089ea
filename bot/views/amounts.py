"""PURE: money, durations and points in time as text."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
CENT = Decimal("0.01")


def usd(amount: Decimal) -> str:
    """USD with two decimals; `under 0.01 USD` for less than a cent, `0.00 USD` for zero."""
    if Decimal(0) < amount < CENT:
        return "under 0.01 USD"
    return f"{amount.quantize(CENT):,} USD"


def usd_per_hour(amount: Decimal) -> str:
    return f"{usd(amount)}/h"


def per_hour_and_day(amount: Decimal) -> str:
    """`65.88 USD/h (1,581.12 USD per day)`. The day is 24 times the exact price, as it is billed."""
    return f"{usd_per_hour(amount)} ({usd(amount * 24)} per day)"


def duration(length: timedelta) -> str:
    """At most two units: `3 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return _two(seconds // MINUTE, "min", seconds % MINUTE, "s")
    if seconds < DAY:
        return _two(seconds // HOUR, "h", seconds % HOUR // MINUTE, "min")
    return _two(seconds // DAY, "d", seconds % DAY // HOUR, "h")


def after(length: timedelta) -> str:
    """A duration that follows a verb: `in under a second`, `after 7 s`."""
    return f"after {duration(length)}" if length >= timedelta(seconds=1) else "in under a second"


def seconds(length: float) -> str:
    """A duration in seconds with one decimal, `0.4 s`; from a minute on as `duration` writes it."""
    return f"{length:.1f} s" if length < MINUTE else duration(timedelta(seconds=length))


def size(number: int) -> str:
    """Bytes as `9.8 GB`, `412 MB` or `1 MB`."""
    return f"{number / 10**9:.1f} GB" if number >= 10**9 else f"{max(round(number / 10**6), 1)} MB"


def moment(at: datetime) -> str:
    """A point in time in the reader's time zone; in UTC for clients that do not format dates."""
    fallback = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} at {{time}}|{fallback}>"


def count(number: int, thing: str, things: str | None = None) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
