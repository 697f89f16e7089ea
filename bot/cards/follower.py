"""Follows the feed of all deployments and updates their cards: one process at a time, by lease."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from msgspec import MsgspecError
from redis import Redis
from redis.exceptions import RedisError

from bot.cards.card_message import Cards, Later
from bot.cards.schedule import Schedule, Task
from bot.cards.worker_redraws import WorkerRedraws
from bot.slack.budgets import TIER_3
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed
from bot.views.card import MONEY_EVERY, changes_every
from workers.decision.worker_absence import WorkersAway
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment
from workers.lease import Lease

logger = logging.getLogger(__name__)

POSITION = "mixtral:follower:position"

LEASE = timedelta(seconds=6)
LEASE_RETRY = timedelta(seconds=0.5)
"""Interval between two attempts to take the lease."""

FEED_WAIT = timedelta(seconds=0.5)
"""Maximum wait of one read of the feed."""

LOOK_BACK = timedelta(minutes=10)
"""Length of the feed that is read if no position is stored."""

CHECK_ALL_EVERY = timedelta(minutes=1)
"""Interval at which every card is compared with its log. A rollback of Redis leaves no entry in the feed."""

TIDY_EVERY = timedelta(hours=1)
"""Interval at which the records of deployments whose logs have expired are removed."""

AFTER_AN_INCIDENT = timedelta(seconds=5)


class FollowedDeployments(Protocol):
    """The part of `workers.api.Deployments` that is used here."""

    def by_id(self, deployment: DeploymentId) -> Deployment | None: ...
    def all(self) -> list[Deployment]: ...
    def key(self, deployment: DeploymentId) -> str | None: ...
    def follow(self, after: str, wait: timedelta) -> Iterator[tuple[str, DeploymentId]]: ...


class Follower:
    """After a crash, another process continues from the records in Redis and the messages in Slack."""

    def __init__(
        self,
        deployments: FollowedDeployments,
        slack: SlackCalls,
        redis: Redis,
        *,
        ready: Callable[[DeploymentId], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lease_for: timedelta = LEASE,
        away: Callable[[], WorkersAway | None] = lambda: None,
        updates_per_minute: float = TIER_3.per_minute,
    ) -> None:
        """`ready` is called whenever a deployment is found ready or ended; it must not block.

        `away`: which workers do not answer.
        """
        self._deployments = deployments
        self._redis: Any = redis
        self._ready = ready
        self._now = clock
        self._lease = Lease(redis, "follower", lease_for)
        self._cards = Cards(redis, slack, deployments.key, clock, away)
        self._redraws = WorkerRedraws(away)
        self._schedule = Schedule(updates_per_minute)
        self._unreadable: set[DeploymentId] = set()
        """Deployments whose logs this version cannot read. They are ignored until the next start of a follower."""

    def run(self, stop: threading.Event) -> None:
        """Follow the feed while this process has the lease, until `stop` is set. After an error, it starts again."""
        while not stop.is_set():
            try:
                with self._lease.held() as ours:
                    if ours:
                        self._lead(stop)
            except RedisError as error:
                logger.warning("the feed cannot be followed; retrying: %s", error)
            except Exception:  # without this thread no card is updated
                logger.exception("incident %s: following the feed failed; retrying", secrets.token_hex(4))
                stop.wait(AFTER_AN_INCIDENT.total_seconds())
            stop.wait(LEASE_RETRY.total_seconds())

    def _lead(self, stop: threading.Event) -> None:
        logger.info("following the feed")
        position = self._catch_up()
        check_all_at = time.monotonic() + CHECK_ALL_EVERY.total_seconds()
        tidy_at = time.monotonic()
        while not stop.is_set() and self._lease.renew():
            position = self._read(position)
            self._changed(*self._redraws.changed(self._deployments.all, self._now()))
            self._work(stop)
            if time.monotonic() > check_all_at:
                check_all_at = time.monotonic() + CHECK_ALL_EVERY.total_seconds()
                self._check_all()
            if time.monotonic() > tidy_at:
                tidy_at = time.monotonic() + TIDY_EVERY.total_seconds()
                self._tidy(stop)

    def _check_all(self) -> None:
        for state in self._deployments.all():
            if not self._schedule.is_shown(state.id, state.version):
                self._changed(state.id)

    def _tidy(self, stop: threading.Event) -> None:
        """Remove the records of deployments whose logs have expired."""
        for deployment in self._cards.records.all():
            if stop.is_set():
                return
            if deployment not in self._schedule and self._is_gone(deployment):
                self._cards.forget(deployment)

    def _is_gone(self, deployment: DeploymentId) -> bool:
        try:
            return self._deployments.by_id(deployment) is None
        except MsgspecError:
            return False

    def _catch_up(self) -> str:
        """Schedule all live deployments and unfinished cards; return the position from which to read the feed."""
        self._schedule.clear()
        self._unreadable.clear()
        saved = self._redis.get(POSITION)
        shown, found = self._cards.records.versions(), self._deployments.all()
        self._changed(*(state.id for state in found), *self._cards.records.unfinished())
        current = [state for state in found if shown.get(state.id) == state.version]
        self._schedule.left_current([state.id for state in current], MONEY_EVERY, time.monotonic())
        for state in current:
            self._wake(state)
        if saved is not None:
            return str(saved.decode())
        # The first start, or Redis was rolled back: a deployment may have ended before it was followed.
        return f"{int((self._now() - LOOK_BACK).timestamp() * 1000)}-0"

    def _read(self, position: str) -> str:
        """Read the feed. Changes are recorded before the position is stored."""
        newest, changed = position, []
        for newest, deployment in self._deployments.follow(position, self._until_due()):  # noqa: B007 - the last one is kept
            changed.append(deployment)
        if changed:
            self._changed(*changed)
            self._redis.set(POSITION, newest)
        return newest

    def _until_due(self) -> timedelta:
        wait = min(self._schedule.next_at() - time.monotonic(), 60)
        return min(FEED_WAIT, max(timedelta(), timedelta(seconds=wait)))

    def _changed(self, *deployments: DeploymentId) -> None:
        for deployment in dict.fromkeys(deployments):
            if deployment not in self._unreadable and self._schedule.changed(deployment):
                self._cards.records.remember(deployment)

    def _work(self, stop: threading.Event) -> None:
        for deployment in self._schedule.due(time.monotonic()):
            # Another process may have taken over while the last card was sent.
            if stop.is_set() or not self._lease.renew():
                return
            self._update(deployment, self._schedule[deployment])

    def _update(self, deployment: DeploymentId, task: Task) -> None:
        try:
            state = self._deployments.by_id(deployment)
        except MsgspecError as error:
            logger.error("the log of %s cannot be read, and its card is not updated: %s", deployment, error)  # noqa: TRY400 - one line, once
            self._unreadable.add(deployment)
            self._schedule.forget(deployment)
            return
        if state is None:
            logger.warning("the log of %s is not in Redis: its card keeps its last content", deployment)
            self._cards.forget(deployment)
            self._schedule.forget(deployment)
            return
        if task.changed:
            self._wake(state)
        try:
            self._cards.show(state, refresh=task.changed or task.version is not None)
        except SlackBusy as busy:
            self._schedule.postpone(state.id, busy.wait, time.monotonic())
        except Later as later:
            self._schedule.postpone(state.id, later.wait, time.monotonic())
        except SlackFailed as error:
            logger.warning("card of %s: %s", deployment, error)
            self._schedule.failed(state.id, time.monotonic())
        except RedisError:
            raise
        except Exception:
            logger.exception("incident %s: card of %s", secrets.token_hex(4), deployment)
            self._schedule.failed(state.id, time.monotonic())
        else:
            self._shown(state)

    def _shown(self, state: Deployment) -> None:
        if state.ended:
            self._schedule.forget(state.id)  # facts after the end arrive through the feed
            return
        self._schedule.shown(state.id, state.version, changes_every(state, self._now()), time.monotonic())

    def _wake(self, state: Deployment) -> None:
        """Resume the questions that wait for the deployment."""
        if self._ready is None or not (is_ending(state) or (state.ready and state.endpoint)):
            return
        try:
            self._ready(state.id)
        except RedisError:
            raise
        except Exception:
            logger.exception("incident %s: resuming the questions for %s", secrets.token_hex(4), state.id)
