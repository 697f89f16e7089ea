"""Calls that request machines, each in a thread, so that one without an answer delays nothing else."""

import queue
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, TypeAlias

from workers.clouds.driver import NoAnswer
from workers.decision.silence import UNKNOWN_AFTER
from workers.deployment.events import MachineCreated, OfferRefused

LaunchAnswer: TypeAlias = MachineCreated | OfferRefused | BaseException
"""What a call returned, or raised."""

LOOK_EVERY = 1.0
"""Maximum wait for an answer, in seconds, before the log is read again: a person may have stopped the deployment."""

TOGETHER = 0.2
"""Maximum wait for the next answer, in seconds, after one: calls that were made at once are answered at once."""


class Calls(Protocol):
    """The open calls of one deployment, by the number of the attempt."""

    def ask(self, attempt: int, call: Callable[[], MachineCreated | OfferRefused], /) -> None:
        """Start a call."""
        ...

    def ages(self) -> dict[int, timedelta]:
        """How long each call has been open. One that is older than UNKNOWN_AFTER is not: its answer is unknown."""
        ...

    def answered(self) -> list[tuple[int, LaunchAnswer]]:
        """Wait a short time for answers and return them; NoAnswer for a call that is older than UNKNOWN_AFTER."""
        ...


class OpenCalls:
    """Calls in daemon threads. A thread whose call has become too old is left alone, and its answer is dropped."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._answers: queue.SimpleQueue[tuple[int, LaunchAnswer]] = queue.SimpleQueue()

    def ask(self, attempt: int, call: Callable[[], MachineCreated | OfferRefused], /) -> None:
        self._since[attempt] = time.monotonic()
        threading.Thread(target=self._run, args=(attempt, call), name=f"create {attempt}", daemon=True).start()

    def ages(self) -> dict[int, timedelta]:
        now = time.monotonic()
        return {attempt: timedelta(seconds=now - since) for attempt, since in self._since.items()}

    def answered(self) -> list[tuple[int, LaunchAnswer]]:
        answers = self._collected()
        for attempt, age in self.ages().items():
            if age >= UNKNOWN_AFTER:
                del self._since[attempt]
                answers.append((attempt, no_answer()))
        return answers

    def _collected(self) -> list[tuple[int, LaunchAnswer]]:
        found: list[tuple[int, LaunchAnswer]] = []
        wait = LOOK_EVERY
        while True:
            try:
                attempt, answer = self._answers.get(timeout=wait)
            except queue.Empty:
                return found
            if self._since.pop(attempt, None) is not None:
                found.append((attempt, answer))
            wait = TOGETHER if self._since else 0.0

    def _run(self, attempt: int, call: Callable[[], MachineCreated | OfferRefused]) -> None:
        try:
            answer: LaunchAnswer = call()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that appends
            answer = error
        self._answers.put((attempt, answer))


def no_answer() -> NoAnswer:
    """The error of a call whose answer is not waited for any more."""
    return NoAnswer(f"The cloud gave no answer for {UNKNOWN_AFTER.total_seconds():.0f} s.")
