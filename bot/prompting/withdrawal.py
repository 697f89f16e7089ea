"""Whether an answer is still wanted: a person may stop it, or delete the question, while another process writes it."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum

from bot.language.question import QuestionKey
from bot.prompting.errors import PromptingError


class Why(StrEnum):
    """Why an answer is not wanted any more."""

    STOPPED = "stopped"
    """Somebody pressed Stop. What has been shown stays."""
    DELETED = "deleted"
    """The question was deleted. Its answer goes too."""


class Withdrawn(PromptingError):
    """The answer is not wanted any more. `shown`: the part of the model's text that has been shown."""

    def __init__(self, why: Why, shown: str = "") -> None:
        super().__init__(f"The question was {why}.")
        self.why = why
        self.shown = shown


class Withdrawal:
    """Tells the thread that writes an answer that it is not wanted any more. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._why: Why | None = None
        self._end: Callable[[], None] | None = None

    def ends(self, end: Callable[[], None]) -> None:
        """Set what is called once by `because`, or at once if that was called before."""
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
        """Raise Withdrawn if the answer is not wanted any more."""
        if self._why is not None:
            raise Withdrawn(self._why)


class Withdrawals:
    """Those of the answers that this process writes. Safe to use from several threads."""

    def __init__(self) -> None:
        self._running: dict[QuestionKey, Withdrawal] = {}

    @contextmanager
    def of(self, key: QuestionKey) -> Iterator[Withdrawal]:
        self._running[key] = withdrawal = Withdrawal()
        try:
            yield withdrawal
        finally:
            self._running.pop(key, None)

    def heed(self, look: Callable[[Collection[QuestionKey]], Mapping[QuestionKey, Why]]) -> None:
        """End the answers that `look` returns for the questions that are being answered."""
        running = dict(self._running)
        if running:
            for key, why in look(running).items():
                running[key].because(why)
