"""Tells each admin by a direct message what the gateway noticed, and that none runs: of each matter once an hour.

One attack may come from thousands of sources: an admin is told of `MOST_SOURCES` an hour, and once that there are more.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from bot.cards.repeating import by_one, repeat
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed
from bot.views import gateway_words as view
from workers.deployment.gateway_notices import CLAIM, GatewayNotice, GatewayNotices
from workers.lease import Lease

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
EVERY = timedelta(seconds=5)
AGAIN = timedelta(hours=1)
"""Time within which an admin is told of the same matter once."""
MOST_SOURCES = 3
"""Maximum number of sources of wrong keys that an admin is told of by address within AGAIN."""
NEWS_FOR = timedelta(minutes=10)
"""Age at which a notice is no longer told."""
ABSENT_AFTER = timedelta(minutes=1)
"""Time without a gateway after which that is told. A restart takes up to 15 s."""


class GatewayAlerts:
    """One process at a time works, by lease."""

    def __init__(
        self,
        slack: SlackCalls,
        redis: Redis,
        *,
        admins: Collection[str],
        serves: Callable[[], bool],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`serves`: whether any replica is ready, so that a gateway is needed."""
        self._slack = slack
        self._redis: Any = redis
        self._notices = GatewayNotices(redis)
        self._admins = admins
        self._serves = serves
        self._now, self._monotonic = clock, monotonic
        self._absent_since: float | None = None
        self._lease = Lease(redis, "gateway_alerts", LEASE)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        repeat(by_one(self._lease, self.look), stop, every=EVERY, what="the notices of the gateway")

    def look(self) -> None:
        """Post each notice that is due. Raises RedisError."""
        for notice in (*self._notices.read(), *self._absence()):
            if abs(self._now() - notice.at) <= NEWS_FOR:
                for admin in sorted(self._admins):
                    self._tell(admin, notice)

    def _absence(self) -> tuple[GatewayNotice, ...]:
        now = self._monotonic()
        if self._redis.exists(CLAIM):
            self._absent_since = None
        elif self._absent_since is None:
            self._absent_since = now
        elif now - self._absent_since >= ABSENT_AFTER.total_seconds() and self._serves():
            return (GatewayNotice(kind="absent", at=self._now()),)
        return ()

    def _tell(self, admin: str, notice: GatewayNotice) -> None:
        mark = f"mixtral:gateway_told:{admin}:{notice.name}"
        if not self._redis.set(mark, notice.number, nx=True, ex=AGAIN):
            return
        place = self._place(admin) if notice.kind == "wrong_keys" else 0
        if place is None:
            return
        message = view.notice(notice) if place < MOST_SOURCES else view.more_sources(MOST_SOURCES)
        try:
            self._slack.post(self._slack.open_direct(admin), message)
        except SlackBusy as busy:
            logger.info("%s", busy)
            self._redis.delete(mark, *([_place(admin, place)] if notice.kind == "wrong_keys" else []))
        except SlackFailed as failed:  # told again in an hour
            logger.warning("an admin was not told what the gateway noticed: %s", failed)

    def _place(self, admin: str) -> int | None:
        """The first free place among the messages about sources; None if all were sent within AGAIN."""
        places = range(MOST_SOURCES + 1)
        return next((n for n in places if self._redis.set(_place(admin, n), 1, nx=True, ex=AGAIN)), None)


def _place(admin: str, number: int) -> str:
    return f"mixtral:gateway_told:{admin}:source {number}"
