"""PURE: who is next: within a channel the oldest, between channels each in turn."""

import heapq
from collections.abc import Callable, Mapping
from typing import Generic, TypeAlias, TypeVar

Ticket: TypeAlias = tuple[float, str]
"""Place in the line of a channel: time of the question, in Unix seconds, and the question's key. The lowest is next."""

RESERVED = 8
"""One place of so many is only for channels that use none."""

Item = TypeVar("Item")


class Line(Generic[Item]):
    """Items that wait, in one line for each channel. The channels take turns."""

    def __init__(self) -> None:
        self._channels: dict[str, list[tuple[Ticket, Item]]] = {}  # in the order of their turns

    def __len__(self) -> int:
        return sum(len(line) for line in self._channels.values())

    def add(self, channel: str, ticket: Ticket, item: Item, *, keeps_turn: bool = False) -> None:
        """`keeps_turn`: the item was taken in its channel's turn, and nothing was done: the channel is next again."""
        heapq.heappush(self._channels.setdefault(channel, []), (ticket, item))
        if keeps_turn:
            self._channels = {channel: self._channels.pop(channel), **self._channels}

    def take(self, may: Callable[[str], bool] = lambda _: True) -> Item | None:
        """Remove and return the oldest item of the next channel for which `may` is true, whose turn is over."""
        channel = next((channel for channel in self._channels if may(channel)), None)
        if channel is None:
            return None
        line = self._channels.pop(channel)
        _, item = heapq.heappop(line)
        if line:
            self._channels[channel] = line  # behind all others
        return item

    def remove(self, channel: str, item: Item) -> None:
        """Remove an item out of turn."""
        left = [entry for entry in self._channels.pop(channel, []) if entry[1] != item]
        if left:
            heapq.heapify(left)
            self._channels[channel] = left


def may_begin(channel: str, running: Mapping[str, int], at_once: int) -> bool:
    """Return whether a channel may use another one of `at_once` places: it uses fewer than are free for all.

    One channel by itself gets nearly half of the places, two a third each. An eighth stays free for channels that use
    none.
    """
    free = at_once - sum(running.values())
    used = running.get(channel, 0)
    return used < free - at_once // RESERVED if used else free > 0


class BudgetLine(Generic[Item]):
    """Those who wait for one budget. One of them at a time tries; the others do not ask."""

    def __init__(self) -> None:
        self.line: Line[Item] = Line()
        self.closed_until = 0.0
        """Time, on the clock of the caller, before which the budget allows no call."""
        self.is_tried = False

    def due(self) -> float | None:
        """Return from when on the next one may try; None if nobody waits, or while one tries."""
        return None if self.is_tried or not len(self.line) else self.closed_until
