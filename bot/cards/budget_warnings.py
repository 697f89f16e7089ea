"""Posts a warning when 50, 80 and 100 % of a budget are used: once per limit, window and percentage."""

import logging
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from redis import Redis

from bot.cards.repeating import by_one, repeat
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import JSON
from bot.slack.reading import find
from bot.views import budget_standings as view
from workers.decision.budget import BudgetStanding, all_standings, is_of, owner_of_state, percent_used
from workers.deployment.ledger import Book
from workers.deployment.state import Deployment
from workers.lease import Lease
from workers.policy.budgets import BudgetScope
from workers.policy.schema import Policy

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=6)
EVERY = timedelta(seconds=2)
"""Interval between two looks at the budgets."""

SKEW = timedelta(minutes=2)
"""Maximum difference between Slack's clock and the clock of this host."""

KEPT_FOR = timedelta(days=40)
"""Time for which it is recorded that a warning was posted: longer than a month."""

KIND = "mixtral_budget"
"""Event type of the metadata of a warning."""

BEGUN, UNDELIVERED = "begun", "refused"
"""Recorded in place of the ts: a post was begun, whose outcome is not known; Slack refused it."""


class Spenders(Protocol):
    """The part of `workers.api.Deployments` that is used here."""

    def all(self) -> list[Deployment]: ...
    def book(self) -> Book: ...


class BudgetWarnings:
    """One process at a time works, by lease. A warning is searched for before it is posted a second time."""

    def __init__(
        self,
        deployments: Spenders,
        slack: SlackCalls,
        redis: Redis,
        *,
        policy: Callable[[], Policy],
        admins: Collection[str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._deployments = deployments
        self._slack = slack
        self._redis: Any = redis
        self._policy = policy
        self._admins = admins
        self._now = clock
        self._lease = Lease(redis, "budgets", LEASE)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""

        def look_while_ours() -> None:
            while not stop.is_set() and self._lease.renew():
                self.look()
                stop.wait(EVERY.total_seconds())

        repeat(by_one(self._lease, look_while_ours), stop, every=EVERY, what="the warnings about budgets")

    def look(self) -> None:
        """Post each warning that is due. Raises RedisError."""
        budgets = self._policy().budgets
        if not budgets.limits:
            return
        for standing in all_standings(budgets, self._deployments.book(), self._now()):
            if percent := percent_used(standing):
                self._warn(standing, percent)

    def _warn(self, standing: BudgetStanding, percent: int) -> None:
        limit = standing.key
        key = f"mixtral:budget_warning:{limit}:{percent}"
        for person, channel in self._rooms(standing, percent):
            try:
                self._say(key, person, channel, standing, percent)
            except SlackBusy as busy:
                logger.info("%s", busy)
            except SlackFailed as failed:
                logger.warning("a warning about a budget was not posted: %s", failed)

    def _rooms(self, standing: BudgetStanding, percent: int) -> list[tuple[str, str]]:
        """(person, channel), of which one is empty: whom or where to warn."""
        if standing.scope is BudgetScope.PERSON:
            return [(standing.id, "")]
        if standing.scope is BudgetScope.CHANNEL:
            return [("", standing.id)]
        admins = [(admin, "") for admin in sorted(self._admins)] if standing.scope is BudgetScope.INSTALLATION else []
        if admins and percent < 100:  # noqa: PLR2004 - percent
            return admins
        concerned = [state for state in self._deployments.all() if is_of(standing, owner_of_state(state))]
        return [*admins, *(("", channel) for channel in sorted({state.place.channel for state in concerned}))]

    def _say(self, key: str, person: str, channel: str, standing: BudgetStanding, percent: int) -> None:
        """As an alert of a card: what was begun before a crash is searched for first."""
        room = person or channel
        before = self._redis.hget(key, room)
        if before not in (None, BEGUN.encode()):
            return
        metadata: JSON = {"event_type": KIND, "event_payload": {"key": f"{standing.key}:{percent}"}}
        try:
            channel = channel or self._slack.open_direct(person)
            ts = self._before(channel, metadata, standing) if before else None
            if ts is None:
                self._note(key, room, BEGUN)
                ts = self._slack.post(channel, view.warning(standing, percent), metadata=metadata)
        except SlackRefused as refused:
            logger.warning("%d %% of the budget %s is used, which cannot be posted: %s", percent, standing.key, refused)
            ts = UNDELIVERED
        self._note(key, room, ts)

    def _before(self, channel: str, metadata: JSON, standing: BudgetStanding) -> str | None:
        try:
            return find(self._slack, channel, metadata, since=standing.window.since - SKEW)
        except SlackRefused as refused:
            logger.info("looking for a warning: %s", refused)  # a second message is better than none
            return None

    def _note(self, key: str, room: str, ts: str) -> None:
        self._redis.pipeline().hset(key, room, ts).expire(key, KEPT_FOR).execute()
