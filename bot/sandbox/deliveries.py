"""Deliveries to the app: their log, and the repetition of events that are not acked."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from bot.sandbox.limits import JSON

log = logging.getLogger(__name__)

EVENTS_WAITING = 1_000
KEPT = 20_000


class Unacked(Exception):
    """The app did not ack in time, or refused. `repeat`: whether Slack sends the event again."""

    def __init__(self, reason: str = "timeout", *, repeat: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.repeat = repeat


class NotConnected(Unacked):
    """The app has no connection open."""

    def __init__(self) -> None:
        super().__init__("connection_failed")


class Deliveries:
    """Runs the deliveries of events, and logs the acks; `delays` are the seconds before each repetition."""

    def __init__(self, delays: Sequence[float]) -> None:
        self.acks: deque[JSON] = deque(maxlen=KEPT)
        """Commands and interactions."""
        self.events: deque[JSON] = deque(maxlen=KEPT)
        """Attempts to deliver events: {event_id, ts of the event, attempt, reason, acked, at}."""
        self._delays = delays
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0

    async def logged(self, kind: str, sending: Awaitable[JSON]) -> JSON:
        """Await the ack of a command or an interaction, and log it."""
        started = time.monotonic()
        acked = False
        try:
            answer = await sending
            acked = True
        finally:
            seconds = time.monotonic() - started
            self._sent += 1
            self.acks.append({"n": self._sent, "at": time.time(), "type": kind, "acked": acked, "seconds": seconds})
        return answer

    def event(self, payload: JSON, send: Callable[[int, str], Awaitable[Any]]) -> None:
        """Deliver an event in the background: `send` is called with the number and the reason of the repetition."""
        if len(self._tasks) >= EVENTS_WAITING:
            log.warning("an event is dropped: %d events are waiting already", EVENTS_WAITING)
            return
        self.in_background(partial(self._deliver, payload, send))

    async def _deliver(self, payload: JSON, send: Callable[[int, str], Awaitable[Any]]) -> None:
        reason = ""
        for attempt, delay in enumerate((0.0, *self._delays)):
            if delay:  # without one, events leave in the order in which they happened
                await asyncio.sleep(delay)
            of = {"event_id": payload["event_id"], "ts": payload.get("event", {}).get("ts", "")}
            entry = {**of, "attempt": attempt, "reason": reason, "at": time.time()}
            self.events.append(entry)
            try:
                await send(attempt, reason)
            except Unacked as failed:
                entry["acked"] = False
                if not failed.repeat:
                    return
                reason = failed.reason
            else:
                entry["acked"] = True
                return
        log.warning("an event is dropped: the app acked none of %d deliveries", len(self._delays) + 1)

    def in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, seconds: float) -> None:
        """Wait until the events in progress are acked or dropped, at most for `seconds`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
