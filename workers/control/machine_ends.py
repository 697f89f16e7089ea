"""Asks how machines ended and what they printed last, in threads that a later sweep collects."""

import logging
import time
from collections.abc import Mapping

from msgspec.structs import replace
from redis.exceptions import RedisError

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.decision.verdict import Gone
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.events import MachineGone
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.machines import Token

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""A zone that runs short takes back all its machines in one moment."""

TOLD_WITHIN = 0.2
"""Seconds that a sweep waits for what is quickly told; somebody waits for the replacement."""


class MachineEnds:
    """Completes what a list said of machines that are gone, and appends it."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver]) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._inquiries = Collector[Token, tuple[Gone, str]]("end", AT_ONCE)
        """How each machine ended, and the last lines that it printed."""

    def ask(self, state: Deployment, attempt: Attempt, gone: Gone, *, listed: bool) -> None:
        """Have the rest asked of a machine that is gone. `listed`: the cloud's list itself said how it ended."""
        self._inquiries.ask(attempt.request.token, self._inquire, state, attempt, gone, listed)

    def collect(self) -> None:
        """Append what has been told."""
        ends = self._inquiries.collect(time.monotonic() + TOLD_WITHIN)
        each(self._record, self._recorder.attempts(MAY_COST), ends)

    def _record(self, state: Deployment, attempt: Attempt, end: tuple[Gone, str]) -> None:
        gone, tail = end
        stamp, number = self._recorder.stamp(), attempt.number
        fact = MachineGone(**stamp, attempt=number, why=gone.why, log_tail=tail, preempted=gone.preempted)
        self._recorder.append(state, fact)

    def _inquire(self, state: Deployment, attempt: Attempt, gone: Gone, listed: bool) -> tuple[Gone, str]:
        driver, token = self._drivers[attempt.offer.cloud], attempt.request.token
        try:
            told = gone if listed else _told(driver, attempt) or gone
            tail = self._recorder.log_tail(state, driver, token)
        except RedisError:
            raise  # the next list asks again
        except Exception:  # the machine is gone, whatever it cannot be asked any more
            logger.exception("how %s ended cannot be read", token)
            told, tail = gone, ""
        return replace(told, why=self._recorder.masked(state, told.why)), tail


def _told(driver: Driver, attempt: Attempt) -> Gone | None:
    """How a machine ended that nobody of us has seen in a list, or not since this process began."""
    try:
        end = attempt.machine and driver.end_of(attempt.machine)
    except WorkersError as error:
        logger.warning("how %s ended cannot be read: %s", attempt.request.token, error)
        return None
    return Gone(end.why, preempted=end.preempted) if end else None
