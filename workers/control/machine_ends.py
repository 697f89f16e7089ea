"""Reads from the clouds how machines ended and what they printed last, in threads that a later sweep collects."""

import logging
import time
from collections.abc import Mapping

from msgspec import UNSET
from msgspec.structs import replace
from redis.exceptions import RedisError

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.decision.verdict import Gone, with_lease
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.events import MachineGone
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.machines import Token

logger = logging.getLogger(__name__)

MAX_THREADS = 16
"""Maximum number of concurrent inquiries. A shortage in a zone may preempt all its spot machines together."""

ANSWERED_WITHIN = 0.2
"""Maximum time that a sweep waits for answers, in seconds. The replacement is launched only after the answer."""


class MachineEnds:
    """Appends the ends of machines, with the cause and the last log lines."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver]) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._inquiries = Collector[Token, tuple[Gone, str]]("end", MAX_THREADS)
        """How each machine ended, and the last lines that it printed."""

    def ask(self, state: Deployment, attempt: Attempt, gone: Gone, *, listed: bool) -> None:
        """Start the inquiry about a machine that is gone. `listed`: the list had it, so `gone` has its cause."""
        self._inquiries.ask(attempt.request.token, self._inquire, state, attempt, gone, listed)

    def collect(self) -> None:
        """Append the ends whose inquiry has returned."""
        ends = self._inquiries.collect(time.monotonic() + ANSWERED_WITHIN)
        each(self._record, self._recorder.attempts(MAY_COST), ends)

    def _record(self, state: Deployment, attempt: Attempt, end: tuple[Gone, str]) -> None:
        gone, tail = end
        stamp, number = self._recorder.stamp(), attempt.number
        told = UNSET if gone.ended_at is None else gone.ended_at
        fact = MachineGone(
            **stamp, attempt=number, why=gone.why, log_tail=tail, preempted=gone.preempted, ended_at=told
        )
        self._recorder.append(state, fact)

    def _inquire(self, state: Deployment, attempt: Attempt, gone: Gone, listed: bool) -> tuple[Gone, str]:
        driver, token = self._drivers[attempt.offer.cloud], attempt.request.token
        try:
            end = gone if listed else _end_of(driver, attempt) or gone
            tail = self._recorder.log_tail(state, driver, attempt)
        except RedisError:
            raise  # the next list repeats the inquiry
        except Exception:  # the end is certain: it is recorded without details
            logger.exception("how %s ended cannot be read", token)
            end, tail = gone, ""
        end = with_lease(end, attempt, self._recorder.now())
        return replace(end, why=self._recorder.masked(state, end.why)), tail


def _end_of(driver: Driver, attempt: Attempt) -> Gone | None:
    """How a machine ended that is missing from its cloud's list; None if the cloud has no record of it."""
    try:
        end = attempt.machine and driver.end_of(attempt.machine)
    except WorkersError as error:
        logger.warning("how %s ended cannot be read: %s", attempt.request.token, error)
        return None
    return Gone(end.why, preempted=end.preempted, ended_at=end.ended_at) if end else None
