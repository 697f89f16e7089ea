"""PURE: which of many waiting calls begins next, so that those that wait for a slow replica delay no other."""

from collections import deque
from typing import Generic, TypeVar

Call = TypeVar("Call")

BEGIN_AT_ONCE = 256
"""Maximum number of calls in their first moment. Each costs some 0.3 ms of CPU then, and later only a descriptor; the
answer to the last of them must not come after its timeout because this process is busy with the others.
"""

URGENT_IN_A_ROW = 3
"""Number of urgent calls after which one other begins, if any waits."""


class Turns(Generic[Call]):
    """The calls that wait, and those that run. The number that run grows with the time that replicas take to answer."""

    def __init__(self, most: int) -> None:
        """`most`: maximum number of calls that run. A quarter is reserved for urgent ones."""
        self._most = most
        self._urgent: deque[Call] = deque()
        self._others: deque[Call] = deque()
        self._running: set[Call] = set()
        self._running_others: set[Call] = set()
        self._beginning: set[Call] = set()
        self._in_a_row = 0

    def queue(self, call: Call, *, urgent: bool) -> None:
        (self._urgent if urgent else self._others).append(call)

    def next(self) -> Call | None:
        """The call that begins now; None if none waits, or no more may run."""
        if len(self._beginning) >= BEGIN_AT_ONCE or len(self._running) >= self._most:
            return None
        others = bool(self._others) and len(self._running_others) < self._most - self._most // 4
        if self._urgent and not (others and self._in_a_row >= URGENT_IN_A_ROW):
            self._in_a_row += 1
            call = self._urgent.popleft()
        elif others:
            self._in_a_row = 0
            call = self._others.popleft()
            self._running_others.add(call)
        else:
            return None
        self._running.add(call)
        self._beginning.add(call)
        return call

    def has_begun(self, call: Call) -> None:
        """It waits for its replica; the next call may begin."""
        self._beginning.discard(call)

    def end(self, call: Call) -> None:
        for calls in (self._running, self._running_others, self._beginning):
            calls.discard(call)
