"""Failures on request: what Slack does on its worse days."""

from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec


class Kind(StrEnum):
    """What can be made to go wrong."""

    DROP_SOCKET = "drop_socket"  # the connection ends, without a word
    REFRESH_SOCKET = "refresh_socket"  # Slack asks the app to connect anew, then closes
    HTTP_500 = "http_500"
    RATE_LIMITED = "rate_limited"  # `seconds` stand in Retry-After
    DELAY = "delay"  # the answer comes `seconds` later
    REFUSE = "refuse"  # the answer is `error`
    STREAM_DIES = "stream_dies"  # at its next append or stop
    LOSE_ANSWER = "lose_answer"  # it is done, and the app hears a 500
    DROP_ANSWER = "drop_answer"  # it is done, and the connection ends before the answer
    LOSE_ACK = "lose_ack"  # an envelope's ack is not heard


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One failure, for the next `count` calls of the methods that `method` matches (fnmatch)."""

    kind: Kind
    method: str = "*"
    count: int = 1
    seconds: float = 1.0
    error: str = "internal_error"


class Faults:
    """The failures that are still to happen."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int]] = []

    def arm(self, fault: Fault) -> None:
        self._left.append((fault, fault.count))

    def clear(self) -> None:
        self._left.clear()

    def take(self, method: str, *kinds: Kind) -> Fault | None:
        """The oldest armed failure of these kinds for this method, counted down; None if there is none."""
        for at, (fault, left) in enumerate(self._left):
            if fault.kind in kinds and fnmatchcase(method, fault.method):
                if left > 1:
                    self._left[at] = (fault, left - 1)
                else:
                    del self._left[at]
                return fault
        return None
