"""Posts once in each channel with machines, and to admins, that Redis stores nothing, and once that it does again.

Everything is kept in memory: nothing can be recorded meanwhile. Other processes of the bot find the message in Slack.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec import Struct
from redis import Redis
from redis.exceptions import RedisError

from bot.cards.repeating import repeat
from bot.slack.budgets import NOW, Budgets
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.views import missing_workers
from bot.views import redis_failing as view
from workers.deployment.state import Deployment
from workers.redis_failures import RedisFailure, failure_of
from workers.writable import write

logger = logging.getLogger(__name__)

EVERY = timedelta(seconds=5)
"""Interval between two attempts to write."""

TOLD_AFTER = timedelta(minutes=1)

LOOK_BACK = timedelta(hours=2)
"""Time in which a message of another process is searched for."""

LOOK_BACK_AT_START = timedelta(days=1)
"""Time in which a process that starts searches for the message of one that ended during an outage."""

KIND = "mixtral_redis"
"""Event type of the metadata of both messages."""

FAILS, WORKS = "failing", "mended"
"""States in the metadata."""


class RunningDeployments(Protocol):
    """The part of `workers.api.Deployments` that is used here."""

    def all(self) -> list[Deployment]: ...


class UnsharedBudgets(Budgets):
    """No limits: the few messages of this module must not wait for Redis."""

    def __init__(self) -> None:
        pass

    def take(self, *_: object, **__: object) -> timedelta:
        return NOW

    def hold(self, *_: object, **__: object) -> None:
        pass


class Outage(Struct, kw_only=True):
    """One outage, as this process has seen it. `began`: seconds of the monotonic clock."""

    began: float
    since: datetime
    failure: RedisFailure
    told: set[str] = set()
    """Rooms that this process need not tell."""


class RedisWatch:
    """`slack`: calls with UnsharedBudgets."""

    def __init__(
        self,
        deployments: RunningDeployments,
        slack: SlackCalls,
        redis: Redis,
        *,
        admins: Collection[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployments, self._slack, self._redis = deployments, slack, redis
        self._admins = admins
        self._now, self._monotonic = clock, monotonic
        self._running: list[Deployment] = []
        self._outage: Outage | None = None
        self._unasked: set[str] | None = None
        """Rooms in which it is not known whether an ended process told of an outage; None before the first look."""

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        repeat(self.look, stop, every=EVERY, what="the watch of Redis")

    def look(self) -> None:
        """Try to write, and post what is due."""
        try:
            write(self._redis)
            if self._outage is None:
                self._read()
                self._withdraw()
                return
        except RedisError as error:
            self._fails(failure_of(error))
        else:
            self._works(self._outage)

    def _read(self) -> None:
        self._running = [state for state in self._deployments.all() if missing_workers.costs(state)]

    def _withdraw(self) -> None:
        """Say that Redis works where a process that has ended since told of an outage."""
        if self._unasked is None:
            self._unasked = {*(state.place.channel for state in self._running), *self._admins}
        message = view.mended(None)
        self._unasked -= {r for r in self._unasked if self._post(r, message, state=WORKS, over=FAILS)}

    def _fails(self, failure: RedisFailure) -> None:
        now = self._monotonic()
        if self._outage is None:
            self._outage = Outage(began=now, since=self._now(), failure=failure)
        outage = self._outage
        outage.failure = failure
        with suppress(RedisError):  # it may still answer reads; otherwise the last known ones are told of
            self._read()
        if now - outage.began < TOLD_AFTER.total_seconds() or not self._running:
            return
        channels = sorted({state.place.channel for state in self._running})
        rooms = {channel: [s for s in self._running if s.place.channel == channel] for channel in channels}
        for room, states in {**rooms, **dict.fromkeys(sorted(self._admins), self._running)}.items():
            if room not in outage.told and self._tell(room, states, outage):
                outage.told.add(room)

    def _tell(self, room: str, states: list[Deployment], outage: Outage) -> bool:
        message = view.failing(states, outage.failure, outage.since, self._now())
        return self._post(room, message, state=FAILS)

    def _works(self, outage: Outage) -> None:
        message = view.mended(timedelta(seconds=self._monotonic() - outage.began))
        outage.told -= {room for room in outage.told if self._post(room, message, state=WORKS)}
        if not outage.told:
            self._outage = None

    def _post(self, room: str, message: Message, *, state: str, over: str | None = None) -> bool:
        """Post, unless another process has. Returns whether the room needs no further attempt.

        `over`: post only if this is the state in the newest message, also of an ended process.
        """
        since = self._now() - (LOOK_BACK if over is None else LOOK_BACK_AT_START)
        try:
            channel = self._slack.open_direct(room) if room in self._admins else room
            newest = self._newest(channel, since)
            if newest != state and over in (None, newest):
                metadata: JSON = {"event_type": KIND, "event_payload": {"state": state}}
                self._slack.post(channel, message, metadata=metadata)
        except SlackRefused as refused:
            logger.warning("%s cannot be told about Redis: %s", room, refused)
        except SlackFailed as failed:
            logger.warning("a message about Redis was not posted: %s", failed)
            return False
        return True

    def _newest(self, channel: str, since: datetime) -> str:
        """The state in the newest message about Redis in a channel; empty if there is none."""
        try:
            messages, _ = self._slack.page(channel, thread=None, since=since, cursor=None)
        except SlackRefused as refused:
            logger.info("looking for a message about Redis: %s", refused)  # a second one is better than none
            return ""
        found = ((m.get("metadata") or {}) for m in messages)
        states = (m["event_payload"].get("state", "") for m in found if m.get("event_type") == KIND)
        return str(next(states, ""))
