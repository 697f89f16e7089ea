"""PURE: which card is to be compared with its deployment next. Times are those of a monotonic clock, in seconds."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from bot.cards.ticks import spacing, stretch
from workers.deployment.events import DeploymentId, Version

CARD_REST = timedelta(seconds=0.7)
"""Minimum time between two updates of one card."""

BACK_OFF = timedelta(seconds=1)
BACK_OFF_LIMIT = timedelta(minutes=1)


class Task(Struct, kw_only=True):
    """When a card is to be compared with its deployment."""

    due: float
    changed: bool = True
    """False if only time has passed."""
    failures: int = 0
    rests_until: float = 0.0
    version: Version | None = None
    """The version of the log that was shown last; None if this follower has not shown the card yet."""
    every: timedelta | None = None
    """The interval at which its card changes without an event; None if it does not."""
    refreshed_at: float = 0.0
    """When its elapsed times were shown last."""


class Schedule:
    """Changes of state come first. Updates of elapsed times alone use a part of the budget of chat.update."""

    def __init__(self, per_minute: float) -> None:
        """`per_minute`: the budget of chat.update."""
        self._per_minute = per_minute
        self._tasks: dict[DeploymentId, Task] = {}
        self._next_tick = 0.0

    def __contains__(self, deployment: DeploymentId) -> bool:
        return deployment in self._tasks

    def __getitem__(self, deployment: DeploymentId) -> Task:
        return self._tasks[deployment]

    def clear(self) -> None:
        self._tasks = {}

    def forget(self, deployment: DeploymentId) -> None:
        self._tasks.pop(deployment, None)

    def changed(self, deployment: DeploymentId) -> bool:
        """The log of a deployment has grown. Return whether it is new here."""
        task = self._tasks.get(deployment)
        if task is None:
            self._tasks[deployment] = Task(due=0)
        elif not task.failures:
            task.due, task.changed = task.rests_until, True
        return task is None

    def left_current(self, deployments: Sequence[DeploymentId], every: timedelta, now: float) -> None:
        """An earlier follower has left these cards up to date: their elapsed times are shown one after another."""
        whole = every.total_seconds() * stretch([every] * len(deployments), self._per_minute)
        for at, deployment in enumerate(deployments):
            task = self._tasks[deployment]
            task.changed, task.refreshed_at = False, now - whole * at / len(deployments)

    def due(self, now: float) -> list[DeploymentId]:
        """Return the cards to compare now, in this order: all that have changed, then at most one other."""
        due = [(not task.changed, task.every or timedelta(), task.due, id_) for id_, task in self._tasks.items()]
        found, longer = [], self._stretch()
        for is_tick, every, _, deployment in sorted(each for each in due if each[2] <= now):
            if not is_tick or self._tasks[deployment].version is None:
                found.append(deployment)
                continue
            task = self._tasks[deployment]
            task.due = max(task.refreshed_at + every.total_seconds() * longer, self._next_tick)
            if task.due <= now:
                found.append(deployment)
                self._next_tick = now + spacing(self._per_minute).total_seconds()
        return found

    def next_at(self) -> float:
        """Return when the next card is due."""
        return min((task.due for task in self._tasks.values()), default=float("inf"))

    def is_shown(self, deployment: DeploymentId, version: Version) -> bool:
        task = self._tasks.get(deployment)
        return task is not None and task.version == version

    def shown(self, deployment: DeploymentId, version: Version, every: timedelta | None, now: float) -> None:
        """A card is up to date. `every`: the interval at which it changes without an event; None if it does not."""
        task = self._tasks[deployment]
        if task.version is not None or task.changed:
            task.refreshed_at = now
        task.version, task.every, task.failures, task.changed = version, every, 0, False
        task.rests_until = now + CARD_REST.total_seconds()
        task.due = task.refreshed_at + every.total_seconds() if every else float("inf")

    def postpone(self, deployment: DeploymentId, wait: timedelta, now: float) -> None:
        self._tasks[deployment].due = now + max(wait.total_seconds(), 0.01)

    def failed(self, deployment: DeploymentId, now: float) -> None:
        """Try again after a pause that grows with each failure."""
        task = self._tasks[deployment]
        pause = min(BACK_OFF * 2**task.failures, BACK_OFF_LIMIT)
        task.failures = min(task.failures + 1, 10)
        task.changed = True
        self.postpone(deployment, pause, now)

    def _stretch(self) -> float:
        return stretch((task.every for task in self._tasks.values() if task.every), self._per_minute)
