"""What is sent to people beside answers: in the turns of the channels, without a thread that waits for Slack."""

import itertools
import threading
from functools import partial

from bot.slack.fair_pool import FairPool
from bot.slack.slack_steps import Steps

THREADS = 8


class Outbox:
    """Safe to use from several threads. What waits when the process ends is not sent."""

    def __init__(self) -> None:
        self._pool: FairPool | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def put(self, channel: str, steps: Steps[None]) -> None:
        """Run the steps soon. Those for one channel begin in this order; some may run at the same time.

        They handle their failures.
        """
        with self._lock:
            self._pool = self._pool or FairPool(THREADS, "outbox")
            number = next(self._numbers)
            self._pool.submit(str(number), channel, (number, ""), partial(_same, steps))

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.close(wait=False)


def _same(steps: Steps[None]) -> Steps[None]:
    return steps
