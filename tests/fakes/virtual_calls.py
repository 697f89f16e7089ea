"""Launch calls on a virtual clock: each has an effect and an answer at times that a test chooses, or none."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from workers.control.open_calls import LaunchAnswer, no_answer
from workers.decision.silence import UNKNOWN_AFTER

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NEVER = timedelta(days=3650)

LOOK_EVERY = timedelta(seconds=5)
"""Longer than that of the real calls, because each look reads the log."""

Fate = tuple[timedelta, timedelta]
"""Time from a call to its effect, and to its answer."""


class VirtualTime:
    """A clock, and what happens at its times. What was started happens even if the process that started it is dead."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now
        self._order = itertools.count()
        self._coming: list[tuple[datetime, int, Callable[[], Any]]] = []

    def __call__(self) -> datetime:
        return self.now

    def at(self, when: datetime, do: Callable[[], Any]) -> None:
        heapq.heappush(self._coming, (when, next(self._order), do))

    def pass_until(self, when: datetime, enough: Callable[[], bool] = lambda: False) -> None:
        while self._coming and self._coming[0][0] <= when and not enough():
            self.now = max(self.now, self._coming[0][0])
            heapq.heappop(self._coming)[2]()
        if not enough():
            self.now = max(self.now, when)


class VirtualCalls:
    """The calls of one run of a worker. `fate`: decides about a call when it is made."""

    def __init__(self, time: VirtualTime, fate: Callable[[int], Fate]) -> None:
        self._time = time
        self._fate = fate
        self._since: dict[int, datetime] = {}
        self._answers: list[tuple[int, LaunchAnswer]] = []

    def ask(self, attempt: int, call: Callable[[], Any], /) -> None:
        self._since[attempt] = began = self._time.now
        effect, answer = self._fate(attempt)
        said: list[LaunchAnswer] = []

        def happen() -> None:
            try:
                said.append(call())
            except BaseException as error:  # noqa: BLE001 - raised by the worker, as the real calls do
                said.append(error)

        self._time.at(began + effect, happen)
        self._time.at(began + max(effect, answer), lambda: self._answers.append((attempt, said[0])))

    def ages(self) -> dict[int, timedelta]:
        return {attempt: self._time.now - since for attempt, since in self._since.items()}

    def answered(self) -> list[tuple[int, LaunchAnswer]]:
        self._time.pass_until(self._time.now + LOOK_EVERY, lambda: bool(self._answers))
        answers = [(attempt, said) for attempt, said in self._answers if self._since.pop(attempt, None)]
        self._answers.clear()
        for attempt, age in self.ages().items():
            if age >= UNKNOWN_AFTER:
                del self._since[attempt]
                answers.append((attempt, no_answer()))
        return answers
