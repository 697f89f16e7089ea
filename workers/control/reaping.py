"""Ends machines that nobody wants any more; one that nobody knows is told of, never ended."""

import logging
import time

from msgspec import MsgspecError

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.recording import Recorder
from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment
from workers.machines import Sighting, Token
from workers.nudges import Nudge

logger = logging.getLogger(__name__)

AT_ONCE = 8
ENDED_WITHIN = 0.2
"""Seconds that a sweep waits."""


class Reaper:
    """Judges one running machine at a time, by what the log says of it."""

    def __init__(self, recorder: Recorder, nudge: Nudge) -> None:
        self._recorder = recorder
        self._nudge = nudge
        self._unknown: set[Token] = set()
        self._endings = Collector[Token, None]("reap", AT_ONCE)

    def look(self, driver: Driver, sighting: Sighting) -> None:
        """End the machine if its deployment's log holds its intent and does not want it any more."""
        machine = sighting.machine
        try:
            state, attempt = self._intent(sighting)
        except MsgspecError:
            state, attempt = None, None  # a log of a newer version than ours: not for us to judge
        if state is None or attempt is None:
            if machine.token not in self._unknown:
                self._unknown.add(machine.token)
                logger.warning("%s belongs to no deployment that is known; left alone", machine.id)
        elif attempt.phase not in MAY_COST:
            if self._endings.ask(machine.token, driver.terminate, machine.token):
                logger.warning("ending %s: %s does not want it any more", machine.id, state.name)
        elif state.ended:
            self._nudge(state.id)  # it came after the end, and nobody looks at an ended deployment by himself

    def collect(self) -> None:
        """Wait a moment for what is being ended; one that could not be is seen again, and tried again."""
        for _ in self._endings.collect(time.monotonic() + ENDED_WITHIN):
            pass  # a list shows what came of it

    def _intent(self, sighting: Sighting) -> tuple[Deployment | None, Attempt | None]:
        """The deployment and the attempt that a machine was made for, as the log has them."""
        id_ = DeploymentId(sighting.deployment)
        state = self._recorder.states.get(id_)
        attempt = _find(state, sighting)
        if attempt is None:
            # Ended long ago, or intended after this sweep's refresh: the log itself knows.
            state = self._recorder.read(id_)
            attempt = _find(state, sighting)
        return state, attempt


def _find(state: Deployment | None, sighting: Sighting) -> Attempt | None:
    attempts = state.attempts if state else ()
    return next((a for a in attempts if a.request.token == sighting.machine.token), None)
