"""A bounded number of threads for commands and presses. The people take turns; nobody gets them all."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import ParamSpec, TypeVar

from bot.slack.fair_pool import FairPool
from bot.slack.slack_steps import Steps

Given = ParamSpec("Given")
Result = TypeVar("Result")


class FairThreads:
    """Safe to use from several threads. One person alone gets nearly half of the threads, as `may_begin` says."""

    def __init__(self, at_once: int, name: str) -> None:
        """`name`: prefix of the threads' names."""
        self._pool = FairPool(at_once, name)
        self._numbers = itertools.count()

    def submit(
        self, who: str, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        """Call `work` when it is the turn of the person; each person's calls begin in their order.

        After `close`, the future is cancelled.
        """
        done: Future[Result] = Future()
        number = next(self._numbers)
        call = partial(work, *args, **kwargs)
        if not self._pool.submit(str(number), who, (number, ""), partial(_steps, done, call)):
            done.cancel()
        return done

    def close(self) -> None:
        """What waits is not called. What runs goes on."""
        self._pool.close(wait=False)


def _steps(done: Future[Result], call: Callable[[], Result]) -> Steps[None]:
    if done.set_running_or_notify_cancel():
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - as of an executor: whoever reads the result gets it
            done.set_exception(error)
        else:
            done.set_result(result)
    yield from ()
