"""PURE: which attempts a worker observes and acts on: those of its installation and, on `local`, of its host."""

from datetime import datetime, timedelta

from msgspec import Struct

from workers.deployment.attempt import MAY_COST, Attempt
from workers.deployment.state import Deployment

ENDED_ITSELF = timedelta(minutes=15)
"""Time after its expiry at which a machine has ended itself with certainty, even if it was not observed."""


class WorkerIdentity(Struct, frozen=True, kw_only=True):
    """The installation and the host of a worker."""

    installation: str
    host: str = ""
    """The id of its host; empty if all local machines count as its own."""

    def judges(self, attempt: Attempt, now: datetime) -> bool:
        """Whether this worker may conclude from its own observations what became of the attempt's machine."""
        return self.extends(attempt) or (self.owns(attempt) and has_ended_itself(attempt, now))

    def extends(self, attempt: Attempt) -> bool:
        """Whether this worker may extend the lease of the attempt's machine."""
        return self.owns(attempt) and not self._elsewhere(attempt)

    def sees_all(self, attempt: Attempt, now: datetime) -> bool:
        """Whether a machine that is missing from this worker's list is gone: old logs do not name a machine's host."""
        nameless = attempt.offer.cloud == "local" and self.host and not attempt.request.host
        return not nameless or has_ended_itself(attempt, now)

    def owns(self, attempt: Attempt) -> bool:
        """Whether the machine is of this installation. One of another is neither ended nor bought again."""
        return attempt.request.installation == self.installation

    def holds(self, attempt: Attempt) -> bool:
        """Whether the machine is a process of this host."""
        return self.extends(attempt) and attempt.offer.cloud == "local"

    def apart(self, state: Deployment, now: datetime) -> dict[int, str]:
        """The hosts of the attempts that are left to another worker, by number; empty: another installation's."""
        return {
            a.number: a.request.host if self.owns(a) else ""
            for a in state.attempts
            if a.phase in MAY_COST and not self.extends(a) and not has_ended_itself(a, now)
        }

    def _elsewhere(self, attempt: Attempt) -> bool:
        return bool(attempt.request.host and self.host) and attempt.request.host != self.host


def has_ended_itself(attempt: Attempt, now: datetime) -> bool:
    """Whether a machine whose lease was not extended has ended."""
    return now > attempt.expires_at + ENDED_ITSELF
