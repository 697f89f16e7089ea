"""PURE: what an observation of a machine or of a probe means for a replica."""

from msgspec import Struct

from workers.deployment.attempt import Attempt, Phase
from workers.machines import Presence, Sighting


class BecameReady(Struct, frozen=True):
    """The readiness probe passed."""

    address: str


class BecameNotReady(Struct, frozen=True):
    """A replica that was ready fails its readiness probe."""

    why: str


class Gone(Struct, frozen=True):
    """The machine has ended without a request of the control loop."""

    why: str
    preempted: bool


class Unchanged(Struct, frozen=True):
    """The observation adds nothing to the state."""


UNCHANGED = Unchanged()


def verdict_on_machine(attempt: Attempt, sighting: Sighting | None) -> Gone | Unchanged:
    """The verdict from a cloud's list. `sighting`: None if a complete list does not contain the machine."""
    if attempt.machine is None or attempt.phase not in (
        Phase.STARTING,
        Phase.READY,
        Phase.NOT_READY,
        Phase.DRAINING,
    ):
        return UNCHANGED
    if sighting is None:
        return Gone("its machine disappeared", preempted=False)
    if sighting.presence is Presence.RUNNING:
        return UNCHANGED
    return Gone(sighting.why or "its machine ended", preempted=sighting.presence is Presence.PREEMPTED)


def verdict_on_probe(attempt: Attempt, failure: str | None) -> BecameReady | BecameNotReady | Unchanged:
    """The verdict from a readiness probe. `failure`: why it failed; None if it passed."""
    if attempt.machine is None or attempt.machine.address is None:
        return UNCHANGED
    if failure is None and attempt.phase in (Phase.STARTING, Phase.NOT_READY):
        return BecameReady(attempt.machine.address)
    if failure is not None and attempt.phase is Phase.READY:
        return BecameNotReady(failure)
    return UNCHANGED
