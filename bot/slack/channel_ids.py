"""Channels whose ids Slack changed: the bot stores the first id, and translates it in calls and payloads."""

import logging
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from bot.slack.message import JSON

_LOG = logging.getLogger(__name__)

CHANGED = "mixtral:channels"
"""Hash of the current ids by the first ones."""

READ_EVERY = 60.0
"""Interval in seconds at which the ids are read again: another process may have received the event."""


class ChannelIds:
    """Safe to use from several threads."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: in seconds."""
        self._redis: Any = redis
        self._clock = clock
        self._current: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._read_at: float | None = None

    def changed(self, old: str, new: str) -> None:
        """Record that Slack calls the channel `old` `new`. Raises RedisError."""
        self._redis.hset(CHANGED, self.first(old), new)
        self.read()

    def current(self, channel: str) -> str:
        """The id that Slack uses for a channel now; the last known one if Redis does not answer."""
        if self._read_at is None or self._clock() - self._read_at >= READ_EVERY:
            self.read()
        return self._current.get(channel, channel)

    def first(self, channel: str) -> str:
        """The id by which the bot knows a channel. It is called before an ack, and does not wait for Redis."""
        return self._first.get(channel, channel)

    def in_arguments(self, arguments: JSON, *, afresh: bool = False) -> JSON:
        """Put current ids in the place of first ones in a call's arguments. `afresh`: read the ids again before."""
        if afresh:
            self.read()
        named = {name: self.current(arguments[name]) for name in ("channel", "channel_id") if name in arguments}
        return arguments | named

    def translate(self, body: JSON) -> None:
        """Put first ids in the place of current ones in a payload of Slack: a command, an interaction or an event."""
        event, container, channel = body.get("event"), body.get("container"), body.get("channel")
        for part, name in ((body, "channel_id"), (container, "channel_id"), (channel, "id"), (event, "channel")):
            if isinstance(part, dict) and isinstance(part.get(name), str):
                part[name] = self.first(part[name])

    def read(self) -> None:
        """Read all changed ids. If Redis does not answer, the last known ones stay."""
        self._read_at = self._clock()
        try:
            found = self._redis.hgetall(CHANGED)
        except RedisError as error:
            _LOG.info("the changed ids of channels cannot be read: %s", error)
            return
        self._current = {first.decode(): current.decode() for first, current in found.items()}
        self._first = {current: first for first, current in self._current.items()}
