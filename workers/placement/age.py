"""PURE: the age of a price, in words."""

import re
from datetime import date

FRESH = 7
"""Maximum age that is not mentioned, in days."""

DAY = re.compile(r"\d{4}-\d\d(-\d\d)?")


def day_of(read_on: str) -> date:
    """The day of `2026-11-23`, and the first day of the month `2026-11`. Raises ValueError."""
    if not DAY.fullmatch(read_on):
        raise ValueError(f'"{read_on[:40]}" is not a date such as 2026-11-23 or a month such as 2026-11')
    return date.fromisoformat(read_on if read_on.count("-") > 1 else f"{read_on}-01")


def ago(read_on: str, today: date) -> str:
    """`118 days ago`; `up to 28 days ago` if only the month is known; empty if FRESH, unknown or in the future."""
    if not read_on:
        return ""
    days = (today - day_of(read_on)).days
    least = "" if read_on.count("-") > 1 else "up to "
    return f"{least}{days} days ago" if days > FRESH else ""
