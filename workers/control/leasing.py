"""Extends the leases of machines, in threads that a later sweep collects. Each place has its own threads."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from workers.clouds.driver import Driver, DriverError
from workers.control.collector import Collector
from workers.control.contact import Contact
from workers.control.recording import Recorder, each
from workers.deployment.attempt import KEPT, Attempt
from workers.deployment.events import Control, LeaseExtended
from workers.deployment.state import Deployment
from workers.machines import Token

logger = logging.getLogger(__name__)

MAX_THREADS = 8
"""Maximum number of concurrent extensions per place. After an outage of the worker, all machines are due together."""


class Leasing:
    """Extends a lease when half of it has passed. The next sweep repeats an extension that failed."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver], machine_lease: timedelta) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._machine_lease = machine_lease
        self._contact = Contact(recorder, Control.EXTEND)
        self._extensions: dict[tuple[str, str], Collector[Token, datetime | DriverError]] = {}
        """By cloud and place: a place that does not answer must not use up the threads for the others."""

    def ask(self) -> None:
        """Start to extend each lease that is due."""
        now = self._recorder.now()
        attempts = self._recorder.attempts(KEPT)
        self._contact.retain({attempt.request.token for _, attempt in attempts})
        for _, attempt in attempts:
            driver = self._drivers.get(attempt.offer.cloud)
            due = attempt.machine is not None and attempt.expires_at - now <= self._machine_lease / 2
            if driver is not None and due:
                place = (attempt.offer.cloud, driver.place(attempt.offer))
                if place not in self._extensions:
                    self._extensions[place] = Collector("lease", MAX_THREADS)
                self._extensions[place].ask(attempt.request.token, _extend, driver, attempt, now + self._machine_lease)

    def collect(self, until: float) -> None:
        """Append the extensions that succeeded by `until` (monotonic seconds)."""
        for extensions in self._extensions.values():
            each(self._record, self._recorder.attempts(KEPT), extensions.collect(until))

    def _record(self, state: Deployment, attempt: Attempt, answer: datetime | DriverError) -> None:
        if isinstance(answer, DriverError):
            logger.warning("the lease of %s is not extended: %s", attempt.request.token, answer)
            self._contact.failed(state, attempt, str(answer))
            return
        self._contact.answered(attempt)
        fact = LeaseExtended(**self._recorder.stamp(), attempt=attempt.number, expires_at=answer)
        self._recorder.append(state, fact)  # which includes that control is regained


def _extend(driver: Driver, attempt: Attempt, expires_at: datetime) -> datetime | DriverError:
    try:
        driver.extend(attempt.request.token, expires_at, attempt.whereabouts)
    except DriverError as error:
        return error
    return expires_at
