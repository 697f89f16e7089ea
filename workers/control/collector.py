"""Calls functions in threads, and hands their answers to a later sweep."""

import logging
import time
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar, TypeVarTuple

from workers.errors import WorkersError

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")


class Collector(Generic[Key, Answer]):
    """Holds at most one pending call per key. `ask` and `collect` must be called from the same thread."""

    def __init__(self, name: str, threads: int) -> None:
        """`name`: prefix of thread names and log messages. `threads`: maximum number of concurrent calls."""
        self._name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._calls: dict[Key, Future[Answer]] = {}

    def ask(self, key: Key, function: Callable[[*Arguments], Answer], *arguments: *Arguments) -> bool:
        """Call a function in a thread, unless the key has an uncollected call. Returns whether it is called."""
        if key in self._calls:
            return False
        self._calls[key] = self._threads.submit(function, *arguments)
        return True

    def retain(self, keys: Container[Key]) -> None:
        """Forget the calls for all other keys. Running calls are not interrupted; their answers are dropped."""
        self._calls = {key: call for key, call in self._calls.items() if key in keys}

    def collect(self, until: float) -> Iterator[tuple[Key, Answer]]:
        """Wait for all calls, at most until `until` (monotonic seconds). Yield key and answer of each that returned.

        An error that a call raised is logged, whatever its type, and the key may be asked again.
        Answers that the caller has not taken from the iterator are yielded the next time.
        """
        wait(self._calls.values(), timeout=until - time.monotonic())
        for key in [key for key, call in self._calls.items() if call.done()]:
            call = self._calls.pop(key)
            error = call.exception()
            if error is None:
                yield key, call.result()
            else:
                unexpected = None if isinstance(error, (WorkersError, OSError)) else error
                logger.warning("%s %s failed: %s", self._name, key, error, exc_info=unexpected)
