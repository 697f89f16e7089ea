"""Reads the logs of machines from their clouds, all at the same time: one without an answer delays no other."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta

from workers.clouds.driver import Driver
from workers.deployment.attempt import Attempt
from workers.deployment.confidential import Confidential
from workers.deployment.state import Deployment
from workers.machines import Token

READ_WITHIN = timedelta(seconds=10)
"""Maximum time for the answers of the clouds. Whoever presses again in vain waits as long."""
AT_ONCE = 16
"""Maximum number of calls to one cloud at the same time. Each ends by the timeouts of the cloud's driver."""


class MachineLogs:
    """Safe to use from several threads. A log that is being read already is not read a second time."""

    def __init__(self, confidential: Confidential, drivers: Mapping[str, Driver]) -> None:
        self._confidential = confidential
        self._drivers = drivers
        self._threads = {cloud: ThreadPoolExecutor(AT_ONCE, f"{cloud} logs") for cloud in drivers}
        self._calls: dict[tuple[Token, int], Future[str]] = {}
        self._lock = threading.Lock()

    def read(self, state: Deployment, attempts: Sequence[Attempt], lines: int, until: float) -> list[str]:
        """The last `lines` of the log of each attempt's machine, masked; of one that cannot be read, the reason.

        If the machine is gone or has printed nothing, what the event log holds. `until`: see `read_until`.
        Raises RedisError.
        """
        calls = [self._call(state, attempt, lines) for attempt in attempts]
        wait([call for call in calls if call is not None], timeout=max(0.0, until - time.monotonic()))
        return [_answer(call, attempt) or attempt.log_tail for call, attempt in zip(calls, attempts, strict=True)]

    def _call(self, state: Deployment, attempt: Attempt, lines: int) -> Future[str] | None:
        cloud = attempt.machine.cloud if attempt.machine and not attempt.gone_at else ""
        if cloud not in self._drivers:
            return None
        read, token, known = self._confidential.log_tail, attempt.request.token, attempt.whereabouts
        with self._lock:
            call = self._calls.get((token, lines))
            if call is None:
                call = self._threads[cloud].submit(read, state, self._drivers[cloud], token, known, lines)
                self._calls[token, lines] = call
        call.add_done_callback(lambda _: self._calls.pop((token, lines), None))
        return call


def read_until() -> float:
    """Until when what is asked now may be waited for, on the monotonic clock."""
    return time.monotonic() + READ_WITHIN.total_seconds()


def _answer(call: Future[str] | None, attempt: Attempt) -> str:
    if call is None:
        return ""
    if call.done():
        return call.result()
    seconds = f"{READ_WITHIN.total_seconds():g} s"
    return f"(its log could not be read: {attempt.offer.cloud} gave no answer within {seconds})"
