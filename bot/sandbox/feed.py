"""Changes for the page: the newest state of each changed object, in the order of the changes."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.sandbox.limits import JSON

Key = tuple[str, ...]

KEPT = 10_000


class Feed:
    """A log of changes with one entry per object, so that frequent updates need no memory.

    Cursors start at the clock's milliseconds, so that a cursor from before a restart is older than
    all entries, and its reader gets a reset.
    """

    def __init__(self) -> None:
        self.cursor = int(time.time() * 1000)
        self._floor = self.cursor
        self._entries: OrderedDict[Key, tuple[int, Callable[[], JSON]]] = OrderedDict()
        self._readers: set[Reader] = set()

    def publish(self, key: Key, render: Callable[[], JSON]) -> None:
        """Record that the object under `key` changed; `render` returns its state when it is sent."""
        self.cursor += 1
        self._entries[key] = (self.cursor, render)
        self._entries.move_to_end(key)
        if len(self._entries) > KEPT:
            self._floor = self._entries.popitem(last=False)[1][0]
        for reader in self._readers:
            reader.event.set()

    def after(self, cursor: int) -> list[JSON] | None:
        """Changes newer than `cursor`, oldest first; None if some of them are not kept any more."""
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

    @contextmanager
    def reader(self) -> Iterator["Reader"]:
        reader = Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)


class Reader:
    """Notifies one open page of changes."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def change(self, within: float) -> bool:
        """Wait for a change; False if there is none within `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self.event.wait()
        except TimeoutError:
            return False
        self.event.clear()
        return True
