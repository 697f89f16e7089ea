"""Extends the leases of machines, in threads that a later sweep collects."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.deployment.attempt import Attempt
from workers.deployment.events import LeaseExtended
from workers.deployment.state import Deployment
from workers.machines import Token

MAX_THREADS = 16
"""Maximum number of concurrent extensions. After an outage of the worker, all machines are due together."""


class Leasing:
    """Extends a lease when half of it has passed. The next sweep repeats an extension that failed."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver], machine_lease: timedelta) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._machine_lease = machine_lease
        self._extensions = Collector[Token, datetime]("lease", MAX_THREADS)
        self._kept: dict[Token, datetime] = {}
        """The expiry of each machine that only a newer version's log contains. If it is lost, it is set again."""

    def ask(self) -> None:
        """Start to extend each lease that is due."""
        now = self._recorder.now()
        for _, attempt in self._recorder.leased():
            token, driver = attempt.request.token, self._drivers.get(attempt.offer.cloud)
            due = attempt.machine is not None and attempt.expires_at - now <= self._machine_lease / 2
            if driver is not None and due:
                self._extensions.ask(token, _extend, driver, token, now + self._machine_lease)

    def keep(self, driver: Driver, token: Token) -> None:
        """Start to extend the lease of a machine that may be wanted by an event which this version cannot read."""
        now = self._recorder.now()
        if token not in self._kept or self._kept[token] - now <= self._machine_lease / 2:
            self._extensions.ask(token, _extend, driver, token, now + self._machine_lease)

    def collect(self, until: float) -> None:
        """Append the extensions that succeeded by `until` (monotonic seconds)."""
        extended = list(self._extensions.collect(until))
        now = self._recorder.now()
        self._kept = {token: expiry for token, expiry in (self._kept | dict(extended)).items() if expiry > now}
        each(self._record, self._recorder.leased(), extended)

    def _record(self, state: Deployment, attempt: Attempt, expires_at: datetime) -> None:
        fact = LeaseExtended(**self._recorder.stamp(), attempt=attempt.number, expires_at=expires_at)
        self._recorder.append(state, fact)


def _extend(driver: Driver, token: Token, expires_at: datetime) -> datetime:
    driver.extend(token, expires_at)
    return expires_at
