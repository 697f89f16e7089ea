"""Ends the machine of an attempt that is given up; one of which no answer is known is looked for first."""

from collections.abc import Callable, Mapping

from workers.clouds.driver import Driver, DriverError
from workers.control.creating import driver_of, made
from workers.deployment.attempt import Attempt, lost
from workers.deployment.confidential import Confidential
from workers.deployment.events import Control, ControlLost, MachineCreated, MachineGone
from workers.deployment.log import Log, Stamp
from workers.deployment.ownership import WorkerIdentity
from workers.deployment.state import Deployment


class Terminating:
    """Makes one call for each end, and appends what came of it."""

    def __init__(
        self,
        log: Log,
        drivers: Mapping[str, Driver],
        confidential: Confidential,
        us: WorkerIdentity,
        stamp: Callable[[], Stamp],
    ) -> None:
        self._log = log
        self._drivers = drivers
        self._confidential = confidential
        self._us = us
        self._stamp = stamp

    def __call__(self, state: Deployment, attempt: Attempt) -> None:
        """End the machine and append that it is gone, or that it exists after all. Raises DriverError, RedisError."""
        if not self._us.extends(attempt):  # its lease was not extended here, and has ended
            gone = MachineGone(**self._stamp(), attempt=attempt.number, why=self._elsewhere(attempt))
            self._log.record(state.id, state.version, [gone])
            return
        try:
            fact = self._ended(state, attempt)
        except DriverError as error:
            if not lost(attempt, Control.END):
                why, stamp = self._confidential.masked(state, str(error)), self._stamp()
                unended = ControlLost(**stamp, attempt=attempt.number, what=Control.END, since=stamp["at"], why=why)
                self._log.record(state.id, state.version, [unended])
            raise
        self._log.record(state.id, state.version, [fact])

    def _ended(self, state: Deployment, attempt: Attempt) -> MachineCreated | MachineGone:
        token, known = attempt.request.token, attempt.whereabouts
        driver = driver_of(self._drivers, attempt)
        if attempt.machine is None and (found := driver.find(token, known)) is not None:
            # A worker ended before it had the answer. The machine is booked before it ends, because it was billed.
            return made(self._stamp(), attempt, found)
        tail = self._confidential.log_tail(state, driver, token, known) if attempt.failure else ""
        driver.terminate(token, known)
        return MachineGone(**self._stamp(), attempt=attempt.number, why=attempt.why, log_tail=tail)

    def _elsewhere(self, attempt: Attempt) -> str:
        whose = f"the installation {attempt.request.installation}"
        if self._us.owns(attempt):
            whose = f"the worker host {attempt.request.host}"
        return f"it belonged to {whose}, and its lease has ended"
