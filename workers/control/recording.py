"""Holds the newest state of every deployment, and appends observations to its log."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar, assert_never

from workers.clouds.driver import Driver
from workers.decision.verdict import BecameNotReady, BecameReady, Busy, ProbeVerdict, Unchanged
from workers.deployment.attempt import KEPT, Attempt, Phase
from workers.deployment.confidential import Confidential
from workers.deployment.events import AnyEvent, DeploymentId, ReplicaNotReady, ReplicaReady
from workers.deployment.log import Log, Stamp, stamp
from workers.deployment.ownership import WorkerIdentity
from workers.deployment.projection import Projection
from workers.deployment.state import Deployment, fold
from workers.errors import WorkersError
from workers.machines import Token

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Recorder:
    """Shared by all observers. Returns the states that they compare observations with, and appends facts."""

    def __init__(
        self,
        log: Log,
        environ: Mapping[str, str],
        clock: Callable[[], datetime],
        us: WorkerIdentity,
    ) -> None:
        self.now = clock
        self.leading = True
        """Whether this worker observes all machines of the installation; otherwise those of its own host only."""
        self._us = us
        self._log = log
        self._confidential = Confidential(log, environ)
        self._projection = Projection(log)

    @property
    def states(self) -> Mapping[DeploymentId, Deployment]:
        """The newest state of each deployment, as of the last refresh."""
        return self._projection.states

    def refresh(self) -> None:
        self._projection.refresh(self.now())

    def read(self, deployment: DeploymentId) -> Deployment | None:
        """The state from the log itself, ended deployments included; None if there is no log. Raises MsgspecError."""
        return fold(deployment, self._log.read(deployment))

    def attempts(self, phases: frozenset[Phase]) -> list[tuple[Deployment, Attempt]]:
        """Every attempt in one of these phases that this worker judges, with its deployment.

        Without those of a log with events of a newer version: that version judges them.
        """
        return [(s, a) for s, a in self.judged(phases) if not s.newer]

    def judged(self, phases: frozenset[Phase]) -> list[tuple[Deployment, Attempt]]:
        """As `attempts`, but with those of such a log: their clouds are listed, and their leases extended."""
        now, us = self.now(), self._us
        found = ((s, a) for s in self.states.values() for a in s.attempts if a.phase in phases)
        return [(s, a) for s, a in found if (us.judges(a, now) if self.leading else us.holds(a))]

    def leased(self) -> list[tuple[Deployment, Attempt]]:
        """Every attempt whose lease this worker extends, with its deployment."""
        return [(s, a) for s, a in self.judged(KEPT) if self._us.extends(a)]

    def sees_all(self, attempt: Attempt) -> bool:
        """Whether a machine that is missing from the lists of this worker is gone."""
        return self._us.sees_all(attempt, self.now())

    def append(self, state: Deployment, fact: AnyEvent) -> None:
        """Append a fact, whatever the log's version is, and refresh the states."""
        logger.info("%s: %s", state.id, type(fact).__name__)
        self._log.record(state.id, state.version, [fact])
        self.refresh()

    def record(self, state: Deployment, attempt: Attempt, verdict: ProbeVerdict) -> None:
        """Append the verdict on a probe, unless nothing has changed."""
        match verdict:
            case BecameReady(address):
                self.append(state, ReplicaReady(**self.stamp(), attempt=attempt.number, address=address))
            case BecameNotReady(why, since):
                self.append(state, ReplicaNotReady(**self.stamp(), attempt=attempt.number, why=why, since=since))
            case Busy() | Unchanged():
                pass
            case _:
                assert_never(verdict)

    def secrets(self, state: Deployment) -> dict[str, str]:
        """The recipe's secrets by name, as far as this process's environment has them."""
        return self._confidential.secrets(state)

    def masked(self, state: Deployment, text: str) -> str:
        """`text`, which an engine or a cloud wrote, with secrets masked."""
        return self._confidential.masked(state, text)

    def log_tail(self, state: Deployment, driver: Driver, attempt: Attempt) -> str:
        """The last lines of a machine's log, with secrets masked. May take seconds."""
        return self._confidential.log_tail(state, driver, attempt.request.token, attempt.whereabouts)

    def stamp(self) -> Stamp:
        return stamp(self.now())


def each(
    look: Callable[[Deployment, Attempt, Answer], None],
    attempts: Iterable[tuple[Deployment, Attempt]],
    answers: Iterable[tuple[Token, Answer]],
) -> None:
    """Call `look` for each attempt that has an answer. An error is logged, and the next attempt follows."""
    by_token = dict(answers)
    for state, attempt in attempts:
        try:
            if attempt.request.token in by_token:
                look(state, attempt, by_token[attempt.request.token])
        except (WorkersError, OSError) as error:
            logger.warning("%s replica %d: %s", state.name, attempt.replica, error)
