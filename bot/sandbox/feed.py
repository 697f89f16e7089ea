"""What the page has yet to see: the newest state of each thing that changed, in order."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

JSON = dict[str, Any]
Key = tuple[str, ...]

KEPT = 10_000


class Feed:
    """A log of changes that keeps one entry a thing, so that a stream of updates costs no memory.

    Cursors start at the clock's milliseconds: one from before a restart is older than all that is
    here, and its reader is told to start again.
    """

    def __init__(self) -> None:
        self.cursor = int(time.time() * 1000)
        self._floor = self.cursor
        self._entries: OrderedDict[Key, tuple[int, Callable[[], JSON]]] = OrderedDict()
        self._readers: set[asyncio.Event] = set()

    def publish(self, key: Key, render: Callable[[], JSON]) -> None:
        """Say that the thing under `key` changed; `render` gives its newest state when it is sent."""
        self.cursor += 1
        self._entries[key] = (self.cursor, render)
        self._entries.move_to_end(key)
        if len(self._entries) > KEPT:
            self._floor = self._entries.popitem(last=False)[1][0]
        for reader in self._readers:
            reader.set()

    def after(self, cursor: int) -> list[JSON] | None:
        """Changes newer than `cursor`, oldest first; None where some of them are no longer known."""
        if not self._floor <= cursor <= self.cursor:
            return None
        newer = []
        for key in reversed(self._entries):
            n, render = self._entries[key]
            if n <= cursor:
                break
            newer.append({"n": n, "type": key[0], **render()})
        newer.reverse()
        return newer

    def reader(self) -> "Reader":
        return Reader(self._readers)


class Reader:
    """One open page's bell, rung at each change."""

    def __init__(self, readers: set[asyncio.Event]) -> None:
        self._readers = readers
        self._bell = asyncio.Event()

    def __enter__(self) -> Self:
        self._readers.add(self._bell)
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.discard(self._bell)

    async def change(self, within: float) -> bool:
        """True when something changed, False after `within` seconds of quiet."""
        try:
            async with asyncio.timeout(within):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True
