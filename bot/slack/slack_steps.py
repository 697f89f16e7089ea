"""Work that pauses while Slack is busy or away, without a thread that sleeps meanwhile.

Steps are a generator that yields a SlackPause whenever it has to wait, and None once the call that it repeated is over:
accepted, refused, or given up. The caller that runs the steps decides how the time passes.
"""

import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import TypeAlias, TypeVar

from msgspec import Struct

from bot.slack.failures import SlackAway, SlackBusy

WHILE_AWAY = timedelta(minutes=2)
"""How long a call is repeated while Slack cannot be reached."""
WHILE_BUSY = timedelta(hours=1)
"""How long a call waits in line, while Slack or the budget requires a pause. Slack itself ends a session then."""

FIRST_PAUSE, MAX_PAUSE = 1.0, 20.0
"""Seconds between two attempts while Slack cannot be reached: the first pause, which doubles, and the longest."""

Result = TypeVar("Result")


class SlackPause(Struct, frozen=True):
    """The same step is to be tried again after `wait`."""

    failed: SlackBusy | SlackAway
    wait: timedelta

    @property
    def budget(self) -> str:
        """The budget that is waited for; empty if it is none."""
        return self.failed.budget if isinstance(self.failed, SlackBusy) else ""

    @property
    def channel(self) -> str:
        """The channel that the call is for."""
        return self.failed.channel if isinstance(self.failed, SlackBusy) else ""


Steps: TypeAlias = Generator[SlackPause | None, None, Result]


def insisting(call: Callable[[], Result], *, after_away: bool = True) -> Steps[Result]:
    """Repeat a call until Slack accepts or refuses it. Raises SlackRefused, or the last failure at the time limit.

    After SlackAway a call may have taken effect. A call that posts a message has to look for that message before it
    posts again; otherwise set `after_away` to False, and it is not repeated.
    """
    began, pause, has_paused = time.monotonic(), FIRST_PAUSE, False
    while True:
        try:
            result = call()
            break
        except SlackBusy as busy:
            failed: SlackBusy | SlackAway = busy
            wait, limit = busy.seconds, WHILE_BUSY
        except SlackAway as away:
            failed, wait, limit = away, pause, WHILE_AWAY if after_away else timedelta()
            pause = min(pause * 2, MAX_PAUSE)
        except Exception:
            if has_paused:
                yield None
            raise
        if time.monotonic() + wait > began + limit.total_seconds():
            if has_paused:
                yield None
            raise failed
        yield SlackPause(failed, timedelta(seconds=wait))
        has_paused = True
    if has_paused:
        yield None
    return result


def by_and_by(steps: Callable[[], Steps[Result]]) -> Callable[[], Result]:
    """Return a function for work that pauses by SlackBusy or SlackAway: the next call goes on after the pause."""
    going_on: list[Steps[Result]] = []

    def call() -> Result:
        if not going_on:
            going_on.append(steps())
        while True:
            try:
                pause = next(going_on[0])
            except BaseException as ended:
                going_on.clear()
                if isinstance(ended, StopIteration):
                    result: Result = ended.value
                    return result
                raise
            if pause is not None:
                raise pause.failed

    return call
