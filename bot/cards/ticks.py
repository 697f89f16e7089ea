"""PURE: how often cards are updated when only time has passed: together they use a part of the budget."""

from collections.abc import Iterable
from datetime import timedelta

SHARE = 0.3
"""Part of the budget of chat.update that these updates may use: that of one launch at its shortest interval."""


def spacing(per_minute: float) -> timedelta:
    """Return the time between two such updates of any cards. `per_minute`: the budget of chat.update."""
    return timedelta(minutes=1) / (per_minute * SHARE)


def stretch(intervals: Iterable[timedelta], per_minute: float) -> float:
    """Return by which factor the intervals of all cards are longer than they would be by themselves; at least 1."""
    wished = sum(1 / every.total_seconds() for every in intervals)
    return max(1.0, wished * spacing(per_minute).total_seconds())
