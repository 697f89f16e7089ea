"""Asks how machines ended and what they printed last, in threads that a later sweep collects."""

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import RedisError

from workers.clouds.driver import Driver, Token
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.recording import Recorder, each
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.replicas.verdict import Gone

logger = logging.getLogger(__name__)

AT_ONCE = 16
"""A zone that runs short takes back all its machines in one moment."""

TOLD_WITHIN = 0.2
"""Seconds that a sweep waits for what is quickly told; somebody waits for the replacement."""


class End(Struct, frozen=True, kw_only=True):
    """All that is told of a machine's end."""

    gone: Gone
    log_tail: str


class MachineEnds:
    """Completes what a list said of machines that are gone, and appends it."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver]) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._inquirers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="end")
        self._inquiries: dict[Token, Future[End]] = {}

    def ask(self, state: Deployment, attempt: Attempt, gone: Gone, *, listed: bool) -> None:
        """Have the rest asked of a machine that is gone. `listed`: the cloud's list itself said how it ended."""
        token = attempt.request.token
        if token not in self._inquiries:
            self._inquiries[token] = self._inquirers.submit(self._inquire, state, attempt, gone, listed)

    def collect(self) -> None:
        """Append what has been told."""
        if self._inquiries:
            wait(self._inquiries.values(), timeout=TOLD_WITHIN)
        done = {token: self._inquiries.pop(token) for token, told in list(self._inquiries.items()) if told.done()}
        attempts = [(s, a) for s, a in self._recorder.attempts(MAY_COST) if a.request.token in done]

        def record(state: Deployment, attempt: Attempt) -> None:
            end = done[attempt.request.token].result()
            self._recorder.gone(state, attempt, end.gone, end.log_tail)

        each(record, attempts)

    def _inquire(self, state: Deployment, attempt: Attempt, gone: Gone, listed: bool) -> End:
        driver, token = self._drivers[attempt.offer.cloud], attempt.request.token
        try:
            told = gone if listed else _told(driver, attempt) or gone
            tail = self._recorder.log_tail(state, driver, token)
        except RedisError:
            raise  # the next list asks again
        except Exception:  # the machine is gone, whatever it cannot be asked any more
            logger.exception("how %s ended cannot be read", token)
            told, tail = gone, ""
        return End(gone=replace(told, why=self._recorder.masked(state, told.why)), log_tail=tail)


def _told(driver: Driver, attempt: Attempt) -> Gone | None:
    """How a machine ended that nobody of us has seen in a list, or not since this process began."""
    try:
        end = attempt.machine and driver.end_of(attempt.machine)
    except WorkersError as error:
        logger.warning("how %s ended cannot be read: %s", attempt.request.token, error)
        return None
    return Gone(end.why, preempted=end.preempted) if end else None
