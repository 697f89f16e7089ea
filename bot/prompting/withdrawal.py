"""Withdrawal of a question: a person stops its answer or deletes it, possibly while another process answers it."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

from bot.language.question import QuestionKey
from bot.prompting.errors import PromptingError


class Why(StrEnum):
    """Why a question is withdrawn."""

    STOPPED = "stopped"
    """A person pressed Stop. What has been shown stays."""
    DELETED = "deleted"
    """The question was deleted. Its answer is deleted too."""


class Withdrawn(PromptingError):
    """The question is withdrawn. `shown`: the part of the model's text that has been shown.

    `is_closed`: whether its last message shows that it was stopped.
    """

    def __init__(self, why: Why, shown: str = "", *, is_closed: bool = False) -> None:
        super().__init__(f"The question was {why}.")
        self.why = why
        self.shown = shown
        self.is_closed = is_closed


class Withdrawal:
    """Ends one answer when its question is withdrawn. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._why: Why | None = None
        self._end: Callable[[], None] | None = None

    def ends(self, end: Callable[[], None]) -> None:
        """Set the function that `because` calls once; it is called immediately if the question is withdrawn already."""
        with self._lock:
            self._end = end
            is_over = self._why is not None
        if is_over:
            end()

    def because(self, why: Why) -> None:
        with self._lock:
            self._why = self._why or why
            end = self._end
        if end is not None:
            end()

    def check(self) -> None:
        """Raise Withdrawn if the question is withdrawn."""
        if self._why is not None:
            raise Withdrawn(self._why)


class Withdrawals:
    """The withdrawals of the answers that this process writes. Safe to use from several threads."""

    def __init__(self) -> None:
        self._running: dict[QuestionKey, Withdrawal] = {}

    @contextmanager
    def of(self, key: QuestionKey) -> Iterator[Withdrawal]:
        self._running[key] = withdrawal = Withdrawal()
        try:
            yield withdrawal
        finally:
            self._running.pop(key, None)

    def heed(self, look: Callable[[Collection[QuestionKey]], Mapping[QuestionKey, Why]]) -> list[QuestionKey]:
        """End the answers whose questions `look` reports as withdrawn, and return these questions."""
        running = dict(self._running)
        withdrawn = look(running) if running else {}
        for key, why in withdrawn.items():
            running[key].because(why)
        return list(withdrawn)
