"""The fake of `FairThreads`, without threads."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from bot.slack.fair_threads import FairThreads

Given = ParamSpec("Given")
Result = TypeVar("Result")


class AtOnce(FairThreads):
    """Does what is submitted before `submit` returns."""

    def __init__(self) -> None:
        """No thread is started."""

    def submit(
        self, who: str, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Future[Result]:
        done: Future[Result] = Future()
        done.set_result(work(*args, **kwargs))
        return done

    def close(self) -> None:
        """Nothing is left."""
