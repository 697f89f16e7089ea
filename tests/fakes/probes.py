"""Probes with a given answer, in place of those that ask a replica."""

from collections.abc import Callable, Coroutine
from typing import Any


def told(answer: object) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A probe that tells the answer; of a function, what that makes of the same arguments."""

    async def probe(*arguments: Any, **named: Any) -> Any:
        return answer(*arguments, **named) if callable(answer) else answer

    return probe
