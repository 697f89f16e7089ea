"""Extends the leases of machines, in threads whose results a later sweep reads. Each place has its own threads."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from workers.clouds.driver import Driver, DriverError, not_allowed
from workers.control.collector import Collector
from workers.control.contact import Contact
from workers.control.recording import Recorder, each
from workers.deployment.attempt import Attempt
from workers.deployment.events import Control, LeaseExtended
from workers.deployment.state import Deployment
from workers.machines import Machine, Token, Whereabouts, whereabouts
from workers.placement.offer import Offer

logger = logging.getLogger(__name__)

MAX_THREADS = 8
"""Maximum number of concurrent extensions per place. After an outage of the worker, all machines are due together."""

LONGEST = 1.05
"""Maximum lease that is left alone, in leases. A clock that was ahead has set a later expiry, which is corrected.

The margin is for hosts whose clocks differ by minutes.
"""

AGAIN_AFTER = timedelta(seconds=10)
"""Time after which an extension that failed is repeated, or a 20th of the lease if that is shorter. A cloud that denies
or throttles a hundred of them for hours must not be asked at every sweep.
"""


class Leasing:
    """Extends a lease when half of it has passed. An extension that failed is repeated."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver], machine_lease: timedelta) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._machine_lease = machine_lease
        self._contact = Contact(recorder, Control.EXTEND)
        self._extensions: dict[tuple[str, str], Collector[Token, datetime | DriverError]] = {}
        """By cloud and place: a place that does not answer must not use up the threads for the others."""
        self._failed_at: dict[Token, datetime] = {}
        self._kept: dict[Token, datetime] = {}
        """The expiry of each machine that only a newer version's log contains. After a restart, it is set again."""

    def ask(self) -> None:
        """Start to extend each lease that is due."""
        now = self._recorder.now()
        attempts = self._recorder.leased()
        self._contact.retain({attempt.request.token for _, attempt in attempts})
        for state, attempt in attempts:
            if (
                attempt.machine is None
                or self._machine_lease / 2 < attempt.expires_at - now <= LONGEST * self._machine_lease
            ):
                continue
            driver = self._drivers.get(attempt.offer.cloud)
            if driver is None:
                self._contact.failed(state, attempt, not_allowed(attempt.offer.cloud))
            else:
                self._start(driver, attempt.offer, attempt.request.token, attempt.whereabouts)

    def keep(self, driver: Driver, machine: Machine) -> None:
        """Start to extend the lease of a machine that may be wanted by an event which this version cannot read."""
        token = machine.token
        if token not in self._kept or self._kept[token] - self._recorder.now() <= self._machine_lease / 2:
            self._start(driver, machine.offer, token, whereabouts(machine))

    def collect(self, until: float) -> None:
        """Append the extensions that succeeded by `until` (monotonic seconds)."""
        for extensions in self._extensions.values():
            answers = list(extensions.collect(until))
            for token, answer in answers:
                if isinstance(answer, DriverError):
                    self._failed_at[token] = self._recorder.now()
                    logger.warning("the lease of %s is not extended: %s", token, answer)
            self._kept |= {token: answer for token, answer in answers if isinstance(answer, datetime)}
            each(self._record, self._recorder.leased(), answers)
        now, pause = self._recorder.now(), min(AGAIN_AFTER, self._machine_lease / 20)
        self._failed_at = {token: at for token, at in self._failed_at.items() if timedelta() <= now - at < pause}
        self._kept = {token: expiry for token, expiry in self._kept.items() if expiry > now}

    def _start(self, driver: Driver, offer: Offer, token: Token, known: Whereabouts) -> None:
        if token in self._failed_at:
            return
        place = (driver.cloud, driver.place(offer))
        if place not in self._extensions:
            self._extensions[place] = Collector("lease", MAX_THREADS)
        self._extensions[place].ask(token, _extend, driver, token, known, self._recorder.now() + self._machine_lease)

    def _record(self, state: Deployment, attempt: Attempt, answer: datetime | DriverError) -> None:
        if isinstance(answer, DriverError):
            self._contact.failed(state, attempt, str(answer))
            return
        self._contact.answered(attempt)
        fact = LeaseExtended(**self._recorder.stamp(), attempt=attempt.number, expires_at=answer)
        self._recorder.append(state, fact)  # this also records that control is regained


def _extend(driver: Driver, token: Token, known: Whereabouts, expires_at: datetime) -> datetime | DriverError:
    try:
        driver.extend(token, expires_at, known)
    except DriverError as error:
        return error
    return expires_at
