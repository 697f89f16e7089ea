"""Awaits coroutines on one event loop, urgent ones first, and hands their answers to a later sweep."""

import asyncio
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar, TypeVarTuple

from workers.control.turns import Turns
from workers.errors import WorkersError

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")

BEGINS_FOR = 0.1
"""Time in seconds after which a call that waits for its replica makes room for the next one."""


class _Call:
    """A call that was asked for. It is forgotten, or its `answer` or `error` is collected."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Any]], *, urgent: bool) -> None:
        self.make, self.urgent = make, urgent
        self.answer: Any = None
        self.error: BaseException | None = None
        self.done = False

    async def run(self) -> Any:
        try:
            return await self.make()
        except SystemExit as error:  # it would end the loop
            raise RuntimeError(f"a call wants to exit: {error}") from error


class AsyncCollector(Generic[Key, Answer]):
    """Holds at most one pending call per key. `ask` and `collect` must be called from the same thread.

    The event loop has a thread of its own, which ends with this object.
    """

    def __init__(self, name: str, most: int) -> None:
        """`name`: of the thread, and prefix of log messages. `most`: as in Turns."""
        self._name = name
        self._calls: dict[Key, _Call] = {}
        self._loop = _Loop(name, Turns(most))

    def ask(
        self,
        key: Key,
        function: Callable[[*Arguments], Coroutine[Any, Any, Answer]],
        *arguments: *Arguments,
        urgent: bool = False,
    ) -> bool:
        """Await a function, unless the key has an uncollected call. Returns whether it is awaited."""
        if key in self._calls:
            return False
        call = self._calls[key] = _Call(lambda: function(*arguments), urgent=urgent)
        self._loop.add(call)
        return True

    def retain(self, keys: Container[Key]) -> None:
        """Forget the calls for all other keys. Running calls are not interrupted; their answers are dropped."""
        self._calls = {key: call for key, call in self._calls.items() if key in keys}

    def collect(self, until: float, only: Iterable[Key] | None = None) -> Iterator[tuple[Key, Answer]]:
        """Wait for all calls, at most until `until` (monotonic seconds). Yield key and answer of each that returned.

        `only`: the keys whose calls are waited for and yielded; those of all others stay.

        An error that a call raised is logged, whatever its type, and the key may be asked again.
        Answers that the caller has not taken from the iterator are yielded the next time.
        """
        calls = self._calls if only is None else {key: self._calls[key] for key in only if key in self._calls}
        self._loop.wait(calls.values(), until)
        for key in [key for key, call in calls.items() if call.done]:
            call = self._calls.pop(key)
            if call.error is None:
                yield key, call.answer
            else:
                unexpected = None if isinstance(call.error, (WorkersError, OSError)) else call.error
                logger.warning("%s %s failed: %s", self._name, key, call.error, exc_info=unexpected)

    def is_pending(self, key: Key) -> bool:
        """Whether the key has an uncollected call."""
        return key in self._calls


class _Loop:
    """The thread with the event loop. It starts at the first call."""

    def __init__(self, name: str, turns: Turns["_Call"]) -> None:
        self._name, self._turns = name, turns
        self._loop: asyncio.AbstractEventLoop | None = None
        self._added: deque[_Call] = deque()
        self._woken = False
        self._awaited: _Call | None = None
        self._returned = threading.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, call: _Call) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
            thread.start()
            weakref.finalize(self, _stop, self._loop, thread)
        self._added.append(call)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._admit)

    def wait(self, calls: Iterable[_Call], until: float) -> None:
        """Wait for all calls, one after another."""
        for call in calls:
            self._awaited = call
            while not call.done:
                self._returned.clear()
                if not call.done and not self._returned.wait(until - time.monotonic()):
                    return

    def _admit(self) -> None:
        self._woken = False
        while self._added:
            call = self._added.popleft()
            self._turns.queue(call, urgent=call.urgent)
        self._start()

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        while (call := self._turns.next()) is not None:
            task = loop.create_task(call.run())
            self._tasks.add(task)  # the loop itself keeps weak references only
            beginning = loop.call_later(BEGINS_FOR, self._has_begun, call)
            task.add_done_callback(partial(self._end, call, beginning))

    def _has_begun(self, call: _Call) -> None:
        self._turns.has_begun(call)
        self._start()

    def _end(self, call: _Call, beginning: asyncio.TimerHandle, task: asyncio.Task[Any]) -> None:
        beginning.cancel()
        self._tasks.discard(task)
        self._turns.end(call)
        if task.cancelled():  # the loop ends
            return
        call.error = task.exception()
        call.answer = None if call.error else task.result()
        call.done = True
        if call is self._awaited:
            self._returned.set()
        self._start()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
    if threading.current_thread() is not thread:
        thread.join(1)
