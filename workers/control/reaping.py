"""Ends machines that are no longer part of their deployment. An unknown machine is logged, never ended."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import MsgspecError

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.creating import made
from workers.control.recording import Recorder
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment
from workers.machines import Machine, Sighting, Token, whereabouts
from workers.nudges import Nudge

logger = logging.getLogger(__name__)

MAX_THREADS = 8
ENDED_WITHIN = 0.2
"""Maximum time that a sweep waits for terminations, in seconds."""
FORGOTTEN_AFTER = timedelta(hours=1)
"""Time after its last list after which an unknown machine is forgotten. Whole clouds are listed every five minutes."""


class Reaper:
    """Decides from its deployment's log whether a running machine is ended."""

    def __init__(
        self,
        recorder: Recorder,
        nudge: Nudge,
        keep: Callable[[Driver, Machine], None],
        unknown: Callable[[Sighting], None] = lambda _: None,
    ) -> None:
        """`keep` extends the lease of a machine that the log of a newer version may contain.

        `unknown` reports a machine that no log contains.
        """
        self._recorder = recorder
        self._report = unknown
        self._keep = keep
        self._nudge = nudge
        self._unknown: dict[Token, datetime] = {}
        """When each machine that no log contains was last listed. Without it, each is logged again."""
        self._endings = Collector[str, None]("reap", MAX_THREADS)
        """By the cloud's id: a token may have two machines."""

    def look(self, driver: Driver, sighting: Sighting) -> None:
        """End the machine if its deployment's log has its intent and its end."""
        machine = sighting.machine
        try:
            state, attempt = self._intent(sighting)
        except MsgspecError:
            self._keep(driver, machine)  # a newer version may use it
            return
        if state is not None and state.newer:
            if not is_ending(state):
                self._keep(driver, machine)
        elif state is None or attempt is None:
            if machine.token not in self._unknown:
                logger.warning("%s belongs to no deployment that is known; it is not ended", machine.id)
            self._unknown[machine.token] = self._recorder.now()
            self._report(sighting)
        elif attempt.phase not in MAY_COST and attempt.machine is None:
            # The cloud made it after it had been looked for. It is booked first, because it is billed; then ended.
            logger.warning("%s was made late for attempt %d of %s; it is ended", machine.id, attempt.number, state.name)
            self._recorder.append(state, made(self._recorder.stamp(), attempt, machine))
            self._nudge(state.id)
        elif attempt.phase not in MAY_COST or not is_of(attempt, machine):
            if self._endings.ask(machine.id, driver.terminate, machine.token, whereabouts(machine)):
                logger.warning("ending %s: it is not, or no longer, part of %s", machine.id, state.name)
        elif state.ended:
            self._nudge(state.id)  # the machine was created late; the sweeper does not nudge ended deployments

    def collect(self) -> None:
        """Wait for terminations. A machine that could not be ended is in the next list, and is tried again."""
        for _ in self._endings.collect(time.monotonic() + ENDED_WITHIN):
            pass  # the next list shows the result
        now = self._recorder.now()
        self._unknown = {token: at for token, at in self._unknown.items() if abs(now - at) < FORGOTTEN_AFTER}

    def _intent(self, sighting: Sighting) -> tuple[Deployment | None, Attempt | None]:
        """The deployment and the attempt that a machine was made for, or None. Raises MsgspecError."""
        id_ = DeploymentId(sighting.deployment)
        state = self._recorder.states.get(id_)
        attempt = _find(state, sighting)
        if attempt is None:
            # It ended long ago, or its intent is newer than this sweep's refresh: read the log itself.
            state = self._recorder.read(id_)
            attempt = _find(state, sighting)
        return state, attempt


def is_of(attempt: Attempt, machine: Machine) -> bool:
    """Whether it is the attempt's machine, or may be: two calls with one token may have made two machines."""
    own = attempt.machine
    if own is None or own.id != machine.id:
        return own is None
    return own.cloud != "gcp" or own.offer.zone == machine.offer.zone  # GCE's names are unique in a zone only


def _find(state: Deployment | None, sighting: Sighting) -> Attempt | None:
    attempts = state.attempts if state else ()
    return next((a for a in attempts if a.request.token == sighting.machine.token), None)
