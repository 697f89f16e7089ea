"""Moves machines' expiry further, in threads that a later sweep collects: after an outage all are due at once."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from workers.clouds.driver import Driver, Token
from workers.deployment.attempt import KEPT, Attempt
from workers.deployment.events import LeaseExtended
from workers.deployment.recording import Recorder, each
from workers.deployment.state import Deployment

AT_ONCE = 16


class Leasing:
    """Extends at half of the lease; what goes wrong is tried again by the next sweep."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver], machine_lease: timedelta) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._machine_lease = machine_lease
        self._extenders = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lease")
        self._extending: dict[Token, Future[datetime]] = {}

    def ask(self) -> "list[Future[datetime]]":
        """Have each machine told that is due. Returns the calls under way."""
        now = self._recorder.now()
        for _, attempt in self._recorder.attempts(KEPT):
            token, driver = attempt.request.token, self._drivers.get(attempt.offer.cloud)
            due = attempt.machine is not None and attempt.expires_at - now <= self._machine_lease / 2
            if driver is not None and due and token not in self._extending:
                later = now + self._machine_lease
                self._extending[token] = self._extenders.submit(_extend, driver, token, later)
        return list(self._extending.values())

    def collect(self) -> None:
        """Append what has been told."""
        done = {token: self._extending.pop(token) for token, call in list(self._extending.items()) if call.done()}
        attempts = [(s, a) for s, a in self._recorder.attempts(KEPT) if a.request.token in done]

        def record(state: Deployment, attempt: Attempt) -> None:
            expires_at = done[attempt.request.token].result()
            fact = LeaseExtended(**self._recorder.stamp(), attempt=attempt.number, expires_at=expires_at)
            self._recorder.append(state, fact)

        each(record, attempts)


def _extend(driver: Driver, token: Token, expires_at: datetime) -> datetime:
    driver.extend(token, expires_at)
    return expires_at
