"""Follows the feed of all deployments and updates their cards: one process at a time, by lease."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from msgspec import MsgspecError, Struct
from redis import Redis
from redis.exceptions import RedisError

from bot.cards.card_message import Cards, Later
from bot.cards.worker_redraws import WorkerRedraws
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed
from bot.views.card import changes_every
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

CARD_REST = timedelta(seconds=0.7)
"""Minimum time between two updates of one card."""

LOOK_BACK = timedelta(minutes=10)
"""Length of the feed that is read if no position is stored."""

CHECK_ALL_EVERY = timedelta(minutes=1)
"""Interval at which every card is compared with its log. A rollback of Redis leaves no entry in the feed."""

TIDY_EVERY = timedelta(hours=1)
"""Interval at which the records of deployments whose logs have expired are removed."""

AFTER_AN_INCIDENT = timedelta(seconds=5)

BACK_OFF = timedelta(seconds=1)
BACK_OFF_LIMIT = timedelta(minutes=1)


class FollowedDeployments(Protocol):
    """The part of `workers.api.Deployments` that is used here."""

    def by_id(self, deployment: DeploymentId) -> Deployment | None: ...
    def all(self) -> list[Deployment]: ...
    def key(self, deployment: DeploymentId) -> str | None: ...
    def follow(self, after: str, wait: timedelta) -> Iterator[tuple[str, DeploymentId]]: ...


class Task(Struct, kw_only=True):
    """When a card is to be compared with its deployment."""

    due: float
    """Time of the monotonic clock, in seconds."""
    changed: bool = True
    """False if only time has passed."""
    failures: int = 0
    rests_until: float = 0.0


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
        self._tasks: dict[DeploymentId, Task] = {}
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
                self._changed(*(state.id for state in self._deployments.all()))
            if time.monotonic() > tidy_at:
                tidy_at = time.monotonic() + TIDY_EVERY.total_seconds()
                self._tidy(stop)

    def _tidy(self, stop: threading.Event) -> None:
        """Remove the records of deployments whose logs have expired."""
        for deployment in self._cards.records.all():
            if stop.is_set():
                return
            if deployment not in self._tasks and self._is_gone(deployment):
                self._cards.records.forget(deployment)

    def _is_gone(self, deployment: DeploymentId) -> bool:
        try:
            return self._deployments.by_id(deployment) is None
        except MsgspecError:
            return False

    def _catch_up(self) -> str:
        """Schedule all live deployments and unfinished cards; return the position from which to read the feed."""
        self._tasks = {}
        self._unreadable.clear()
        saved = self._redis.get(POSITION)
        self._changed(*(state.id for state in self._deployments.all()), *self._cards.records.unfinished())
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
        due = min((task.due for task in self._tasks.values()), default=float("inf"))
        return min(FEED_WAIT, max(timedelta(), timedelta(seconds=min(due - time.monotonic(), 60))))

    def _changed(self, *deployments: DeploymentId) -> None:
        for deployment in dict.fromkeys(deployments):
            if deployment in self._unreadable:
                continue
            task = self._tasks.get(deployment)
            if task is None:
                self._cards.records.remember(deployment)
                self._tasks[deployment] = Task(due=0)
            elif not task.failures:
                task.due, task.changed = max(task.rests_until, 0), True

    def _work(self, stop: threading.Event) -> None:
        due = sorted((task.due, id_) for id_, task in self._tasks.items() if task.due <= time.monotonic())
        for _, deployment in due:
            # Another process may have taken over while the last card was sent.
            if stop.is_set() or not self._lease.renew():
                return
            self._update(deployment, self._tasks[deployment])

    def _update(self, deployment: DeploymentId, task: Task) -> None:
        try:
            state = self._deployments.by_id(deployment)
        except MsgspecError as error:
            logger.error("the log of %s cannot be read, and its card is not updated: %s", deployment, error)  # noqa: TRY400 - one line, once
            self._unreadable.add(deployment)
            del self._tasks[deployment]
            return
        if state is None:
            logger.warning("the log of %s is not in Redis: its card keeps its last content", deployment)
            self._cards.records.forget(deployment)
            del self._tasks[deployment]
            return
        if task.changed:
            self._wake(state)
        try:
            self._cards.show(state, tick=not task.changed)
        except SlackBusy as busy:
            _postpone(task, busy.wait)
        except Later as later:
            _postpone(task, later.wait)
        except SlackFailed as error:
            logger.warning("card of %s: %s", deployment, error)
            _failed(task)
        except RedisError:
            raise
        except Exception:
            logger.exception("incident %s: card of %s", secrets.token_hex(4), deployment)
            _failed(task)
        else:
            self._shown(state, task)

    def _shown(self, state: Deployment, task: Task) -> None:
        if state.ended:
            del self._tasks[state.id]  # facts after the end arrive through the feed
            return
        now = time.monotonic()
        every = changes_every(state, self._now())
        task.failures, task.changed = 0, False
        task.rests_until = now + CARD_REST.total_seconds()
        task.due = now + every.total_seconds() if every else float("inf")

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


def _postpone(task: Task, wait: timedelta) -> None:
    task.due = time.monotonic() + max(wait.total_seconds(), 0.01)


def _failed(task: Task) -> None:
    pause = min(BACK_OFF * 2**task.failures, BACK_OFF_LIMIT)
    task.failures = min(task.failures + 1, 10)
    task.changed = True
    _postpone(task, pause)
