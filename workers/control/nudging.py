"""Nudges every deployment whose next step is not `Wait`."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from workers.decision.next_step import Wait, next_step
from workers.deployment.condition import only_ends
from workers.deployment.events import DeploymentId, Version
from workers.deployment.state import Deployment
from workers.nudges import Nudge

NUDGE_AGAIN = timedelta(seconds=2)
"""Time until a nudge that did not change the log is repeated; doubled each time, up to NUDGE_AGAIN_MAX."""

NUDGE_AGAIN_MAX = timedelta(seconds=30)


class Nudger:
    """Stores the version of each log at its last nudge. If the log has not grown since, the nudge may be lost."""

    def __init__(self, nudge: Nudge, clock: Callable[[], datetime], nudge_end: Nudge | None = None) -> None:
        """`nudge_end`: for deployments that want no machine any more; None: the same."""
        self._nudge, self._nudge_end = nudge, nudge_end or nudge
        self._now = clock
        self._nudged: dict[DeploymentId, tuple[Version, datetime, timedelta]] = {}

    def look(self, states: Mapping[DeploymentId, Deployment]) -> None:
        """Nudge each deployment that is due, unless it was nudged recently at the same version."""
        now = self._now()
        self._nudged = {id_: nudged for id_, nudged in self._nudged.items() if id_ in states}
        for id_, state in states.items():
            if isinstance(next_step(state, now), Wait):
                self._nudged.pop(id_, None)
                continue
            version, at, pause = self._nudged.get(id_, (-1, now, NUDGE_AGAIN))
            if version == state.version and timedelta() <= now - at < pause:  # `at` is later after a step of the clock
                continue
            longer = min(pause * 2, NUDGE_AGAIN_MAX) if version == state.version else NUDGE_AGAIN
            self._nudged[id_] = (state.version, now, longer)
            (self._nudge_end if only_ends(state) else self._nudge)(id_)
