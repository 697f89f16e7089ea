"""Which cards change because workers cease or begin to answer, and because leases run out meanwhile."""

from collections.abc import Callable, Iterable
from datetime import datetime

from workers.decision.worker_absence import WorkersAway
from workers.deployment.condition import without_lease
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment


class WorkerRedraws:
    """The cards as they were drawn last: with which absence, and which leases had run out."""

    def __init__(self, away: Callable[[], WorkersAway | None]) -> None:
        self._away = away
        self._drawn: WorkersAway | None = None
        self._over: frozenset[DeploymentId] = frozenset()

    def changed(self, states: Callable[[], Iterable[Deployment]], now: datetime) -> list[DeploymentId]:
        """The deployments whose cards are to be drawn again. Reads the states only while workers are away."""
        away = self._away()
        if away is None and self._drawn is None:
            return []
        there = list(states())
        over = frozenset(state.id for state in there if without_lease(state, now))
        changed = [state.id for state in there if away != self._drawn or state.id in over - self._over]
        self._drawn, self._over = away, over
        return changed
