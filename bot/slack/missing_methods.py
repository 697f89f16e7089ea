"""Records for an hour which methods Slack refuses, in one channel or in the whole workspace."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from bot.slack.failures import SlackRefused

REMEMBERED = timedelta(hours=1)
"""Time after which a refused method is tried again: a scope may have been added, a feature turned on."""

KEPT = 1000
"""Maximum number of refusals that are kept. The oldest is dropped first, which costs one refused call."""

IN_ONE_CHANNEL = frozenset(
    {
        "missing_scope",  # scopes differ by the kind of channel
        "no_permission",
        "not_allowed",
        "channel_type_not_supported",
        "method_not_supported_for_channel_type",
    }
)
"""Codes that apply to one channel. The other codes of a missing method apply to the whole workspace."""


class MissingMethods:
    """Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: in seconds."""
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._until)

    def has(self, method: str, channel: str = "") -> bool:
        """False if a call of the last hour has shown that the method is missing in this channel or everywhere."""
        now = self._clock()
        return all(self._until.get((method, where), now) <= now for where in ("", channel))

    def note(self, method: str, channel: str, refused: SlackRefused) -> None:
        """Record that a method is missing, if the refusal means that. `channel`: empty if the call named none."""
        if refused.known:
            return
        where = (method, channel if refused.code in IN_ONE_CHANNEL else "")
        with self._lock:
            self._until.pop(where, None)
            self._until[where] = self._clock() + REMEMBERED.total_seconds()
            while len(self._until) > KEPT:
                del self._until[next(iter(self._until))]
