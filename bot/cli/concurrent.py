"""Runs several slow calls concurrently with a timeout; a terminal shows which ones are pending."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import nullcontext
from datetime import timedelta
from typing import TypeVar

from rich.console import Console

SHOWN_AFTER = timedelta(seconds=2)
"""Time after which a terminal shows the pending calls."""
LOOK_EVERY = timedelta(seconds=0.1)

T = TypeVar("T")


def ask(questions: Mapping[str, Callable[[], T]], *, within: timedelta, console: Console) -> dict[str, T | Exception]:
    """Return the result or exception of each call by name, in the given order; a TimeoutError after `within`."""
    until = time.monotonic() + within.total_seconds()
    answers = {name: _started(name, question) for name, question in questions.items()}
    wait(answers.values(), min(SHOWN_AFTER, within).total_seconds())
    pending = [name for name, answer in answers.items() if not answer.done()]
    with console.status("") if pending and console.is_terminal else nullcontext() as status:
        while pending and time.monotonic() < until:
            if status is not None:
                status.update(f"waiting for {', '.join(pending)}")
            wait([answers[name] for name in pending], LOOK_EVERY.total_seconds())
            pending = [name for name in pending if not answers[name].done()]
    late = TimeoutError(f"no answer within {within.total_seconds():.0f} s")
    return {name: late if name in pending else answer.result() for name, answer in answers.items()}


def _started(name: str, question: Callable[[], T]) -> Future[T | Exception]:
    answer: Future[T | Exception] = Future()

    def call() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - every error is returned
            answer.set_result(error)

    # A daemon: a call that does not return must not keep the process from exiting.
    threading.Thread(target=call, name=name, daemon=True).start()
    return answer
