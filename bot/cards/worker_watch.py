"""Posts once in each channel with machines that no worker answers, and once that workers answer again."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from redis import Redis
from redis.exceptions import RedisError

from bot.cards.repeating import by_one, repeat
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.slack.reading import find
from bot.views import missing_workers as view
from workers.decision.worker_absence import AWAY_AFTER, WorkersAway, WorkersSeen, answers, away, seen
from workers.deployment.state import Deployment
from workers.heartbeats import Heartbeat
from workers.lease import Lease

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=6)
EVERY = timedelta(seconds=3)
"""Interval between two looks at the heartbeats."""

SKEW = timedelta(minutes=2)
"""Maximum difference between Slack's clock and the clock of this host."""

TOLD = "mixtral:workers:away"
KIND = "mixtral_workers"
"""Event type of the metadata of both messages."""

SINCE, BACK = "since", "back "
"""Fields of TOLD: when it was noticed, in Unix seconds; and, as a prefix of a room, the ts of the second message."""

BEGUN, UNDELIVERED = "begun", "refused"
"""Recorded in place of a ts: a post was begun, whose outcome is not known; Slack refused it."""


class WatchedDeployments(Protocol):
    """The part of `workers.api.Deployments` that is used here."""

    def all(self) -> list[Deployment]: ...
    def heartbeats(self) -> tuple[list[Heartbeat], bool]: ...


class WorkerWatch:
    """Every process looks, for its cards; one at a time posts, by lease."""

    def __init__(
        self,
        deployments: WatchedDeployments,
        slack: SlackCalls,
        redis: Redis,
        *,
        admins: Collection[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deployments = deployments
        self._slack = slack
        self._redis: Any = redis
        self._admins = admins
        self._now, self._monotonic = clock, monotonic
        self._lease = Lease(redis, "workers", LEASE)
        self._seen: WorkersSeen | None = None

    def away(self) -> WorkersAway | None:
        """Which workers are away, as of the last look; None if none is, or if it is not known."""
        return away(self._seen, self._monotonic())

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        repeat(self._look_and_tell, stop, every=EVERY, what="the watch of the workers")

    def _look_and_tell(self) -> None:
        try:
            self.look()
            by_one(self._lease, self.tell)()
        except RedisError:
            self._seen = None  # the workers cannot reach it either
            raise

    def look(self) -> None:
        """Read the heartbeats. Raises RedisError."""
        beats, swept = self._deployments.heartbeats()
        self._seen = seen(self._seen, beats, self._monotonic(), swept=swept)

    def tell(self) -> None:
        """Post what is due and not posted yet. Raises RedisError."""
        missing, said = self.away(), self._redis.hgetall(TOLD)
        if missing is not None:
            self._tell_away(missing)
        elif said and answers(self._seen, self._monotonic()):
            self._tell_back({room.decode(): ts.decode() for room, ts in said.items()})

    def _tell_away(self, missing: WorkersAway) -> None:
        affected = [state for state in self._deployments.all() if view.costs(state)]
        if not affected:
            return
        if any(field.startswith(BACK.encode()) for field in self._redis.hkeys(TOLD)):
            self._redis.delete(TOLD)  # some rooms were told that they are back: this is another absence
        if self._is_worse(missing):
            self._redis.delete(TOLD)
        self._redis.hsetnx(TOLD, SINCE, int((missing.since or self._now()).timestamp()))
        rooms = {channel: [s for s in affected if s.place.channel == channel] for channel in _channels(affected)}
        for room, states in {**rooms, **dict.fromkeys(sorted(self._admins), affected)}.items():
            message = view.told(states, missing, self._now())
            self._post(room, room, message)
            if self._redis.hget(TOLD, room) == UNDELIVERED.encode() and not _is_person(room):
                for launcher in sorted({state.place.user for state in states} - set(self._admins)):
                    self._post(launcher, launcher, message)

    def _is_worse(self, missing: WorkersAway) -> bool:
        """Whether rooms were told that no worker does jobs, and since then none observes machines either."""
        told = self._redis.hget(TOLD, SINCE)
        if missing.observed or missing.since is None or told is None:
            return False
        return missing.since.timestamp() - int(told) >= AWAY_AFTER.total_seconds()

    def _tell_back(self, said: dict[str, str]) -> None:
        since = datetime.fromtimestamp(int(said.pop(SINCE, "0")), UTC)
        rooms = [room for room in said if not room.startswith(BACK)]
        message = view.back(self._now() - since if since.timestamp() else None)
        told = [self._post(BACK + room, room, message) for room in rooms if said[room] != UNDELIVERED]
        if all(told):
            self._redis.delete(TOLD)

    def _post(self, field: str, room: str, message: Message) -> bool:
        """Post once in a channel, or to a person. What was begun before a crash is searched for first."""
        before = self._redis.hget(TOLD, field)
        if before not in (None, BEGUN.encode()):
            return True
        since = datetime.fromtimestamp(int(self._redis.hget(TOLD, SINCE) or 0), UTC)
        metadata: JSON = {"event_type": KIND, "event_payload": {"key": f"{int(since.timestamp())} {field}"}}
        try:
            channel = self._slack.open_direct(room) if _is_person(room) else room
            ts = self._before(channel, metadata, since) if before else None
            if ts is None:
                self._redis.hset(TOLD, field, BEGUN)
                ts = self._slack.post(channel, message, metadata=metadata)
        except SlackRefused as refused:
            logger.warning("%s cannot be told about the workers: %s", room, refused)
            ts = UNDELIVERED
        except SlackBusy as busy:
            logger.info("%s", busy)
            return False
        except SlackFailed as failed:
            logger.warning("a message about the workers was not posted: %s", failed)
            return False
        self._redis.hset(TOLD, field, ts)
        return True

    def _before(self, channel: str, metadata: JSON, since: datetime) -> str | None:
        try:
            return find(self._slack, channel, metadata, since=since - SKEW)
        except SlackRefused as refused:
            logger.info("looking for a message about the workers: %s", refused)  # a second one is better than none
            return None


def _is_person(room: str) -> bool:
    return room.startswith(("U", "W"))


def _channels(states: list[Deployment]) -> list[str]:
    return sorted({state.place.channel for state in states})
