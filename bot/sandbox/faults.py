"""Failures of Slack that a test can request."""

from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec


class Kind(StrEnum):
    DROP_SOCKET = "drop_socket"  # the connection ends without a message
    REFRESH_SOCKET = "refresh_socket"  # Slack sends refresh_requested, and closes the connection after `seconds`
    WARN_SOCKET = "warn_socket"  # the same with the reason `warning`
    DISABLE_LINK = "disable_link"  # Slack sends link_disabled, and closes the connection
    HTTP_500 = "http_500"
    RATE_LIMITED = "rate_limited"  # with `seconds` in Retry-After
    DELAY = "delay"  # of the answer, by `seconds`
    REFUSE = "refuse"  # the answer is `error`
    STREAM_DIES = "stream_dies"  # the stream is ended by its next append or stop, which fails
    LOSE_ANSWER = "lose_answer"  # the call takes effect, and its answer is a 500
    DROP_ANSWER = "drop_answer"  # the call takes effect, and the connection ends before the answer
    LOSE_ACK = "lose_ack"  # the ack of an envelope is ignored
    FORGE_SIGNATURE = "forge_signature"  # the next request to the app is not signed with the app's secret
    OLD_REQUEST = "old_request"  # the next request to the app was signed `seconds` ago
    JSON_AS_FORM = "json_as_form"  # the next request to the app has a JSON body, and claims to be a form


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One failure, for the next `count` calls that `method` and `channel` match (fnmatch), and that have a `block`."""

    kind: Kind
    method: str = "*"
    channel: str = "*"
    count: int = 1
    seconds: float = 1.0
    error: str = "internal_error"
    block: str = ""
    """Type of a block of the message, as a version of Slack may not have it; empty: with any blocks, or none."""


class Faults:
    """The failures that have not happened yet."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int]] = []

    def arm(self, fault: Fault) -> None:
        self._left.append((fault, fault.count))

    def clear(self) -> None:
        self._left.clear()

    def take(self, method: str, *kinds: Kind, channel: str = "", blocks: frozenset[str] = frozenset()) -> Fault | None:
        """The oldest matching failure, whose count is decreased; None if there is none. `blocks`: their types."""
        for at, (fault, left) in enumerate(self._left):
            if fault.block and fault.block not in blocks:
                continue
            if fault.kind in kinds and fnmatchcase(method, fault.method) and fnmatchcase(channel, fault.channel):
                if left > 1:
                    self._left[at] = (fault, left - 1)
                else:
                    del self._left[at]
                return fault
        return None
