"""Steps of work without a pool: each pause is over at once."""

from collections.abc import Callable
from typing import TypeVar

from bot.slack.slack_steps import SlackPause, Steps

Result = TypeVar("Result")


def ended(steps: Steps[Result], paused: Callable[[SlackPause], None] = lambda _: None) -> Result:
    """Run the steps to their end. `paused` is called with each pause."""
    while True:
        try:
            pause = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if pause is not None:
            paused(pause)


class SentAtOnce:
    """An outbox that sends what is put into it before `put` returns."""

    def __init__(self, paused: Callable[[SlackPause], None] = lambda _: None) -> None:
        self.paused = paused

    def put(self, channel: str, steps: Steps[None]) -> None:
        ended(steps, self.paused)
