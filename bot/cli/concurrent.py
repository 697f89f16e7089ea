"""Runs several slow calls concurrently with a timeout; a terminal shows which ones are pending."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from rich.console import Console

SHOWN_AFTER = timedelta(seconds=2)
"""Time after which a terminal shows the pending calls."""
LOOK_EVERY = timedelta(seconds=0.1)

T = TypeVar("T")


def ask(questions: Mapping[str, Callable[[], T]], *, within: timedelta, console: Console) -> dict[str, T | Exception]:
    """Return the result or exception of each call by name, in the given order; a TimeoutError after `within`."""
    answers: queue.Queue[tuple[str, T | Exception]] = queue.Queue()
    for name, question in questions.items():
        # Daemons: a call that does not return must not keep the process from exiting.
        threading.Thread(target=_answer, args=(name, question, answers), name=name, daemon=True).start()
    found = _gather(list(questions), answers, within, console)
    late = TimeoutError(f"no answer within {within.total_seconds():.0f} s")
    return {name: found.get(name, late) for name in questions}


def _answer(name: str, question: Callable[[], T], answers: "queue.Queue[tuple[str, T | Exception]]") -> None:
    try:
        answers.put((name, question()))
    except Exception as error:  # noqa: BLE001 - every error is returned
        answers.put((name, error))


def _gather(
    names: list[str], answers: "queue.Queue[tuple[str, T | Exception]]", within: timedelta, console: Console
) -> dict[str, T | Exception]:
    found: dict[str, T | Exception] = {}
    began = time.monotonic()
    waiting = console.status("")
    shown = False
    try:
        while len(found) < len(names) and time.monotonic() - began < within.total_seconds():
            try:
                name, answer = answers.get(timeout=LOOK_EVERY.total_seconds())
                found[name] = answer
            except queue.Empty:
                pass
            if console.is_terminal and time.monotonic() - began > SHOWN_AFTER.total_seconds():
                waiting.update(f"waiting for {', '.join(n for n in names if n not in found)}")
                if not shown:
                    waiting.start()
                    shown = True
    finally:
        if shown:
            waiting.stop()
    return found
