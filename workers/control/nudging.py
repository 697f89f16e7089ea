"""Nudges what is due: every deployment whose next step is not to wait."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from workers.decision.next_step import Wait, next_step
from workers.deployment.events import DeploymentId, Version
from workers.deployment.state import Deployment
from workers.nudges import Nudge

NUDGE_AGAIN = timedelta(seconds=2)
"""A nudge that changed nothing is repeated after this, doubled each time up to NUDGE_AGAIN_MOST."""

NUDGE_AGAIN_MOST = timedelta(seconds=30)


class Nudger:
    """Remembers what it has nudged, and at which version: a nudge is lost, or it changes the log."""

    def __init__(self, nudge: Nudge, clock: Callable[[], datetime]) -> None:
        self._nudge = nudge
        self._now = clock
        self._nudged: dict[DeploymentId, tuple[Version, datetime, timedelta]] = {}

    def look(self, states: Mapping[DeploymentId, Deployment]) -> None:
        """Nudge each that is due and was not nudged a moment ago."""
        now = self._now()
        self._nudged = {id_: nudged for id_, nudged in self._nudged.items() if id_ in states}
        for id_, state in states.items():
            if isinstance(next_step(state, now), Wait):
                self._nudged.pop(id_, None)
                continue
            version, at, pause = self._nudged.get(id_, (-1, now, NUDGE_AGAIN))
            if version == state.version and now - at < pause:
                continue
            longer = min(pause * 2, NUDGE_AGAIN_MOST) if version == state.version else NUDGE_AGAIN
            self._nudged[id_] = (state.version, now, longer)
            self._nudge(id_)
