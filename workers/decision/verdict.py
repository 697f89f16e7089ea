"""PURE: what observations say of a replica."""

from msgspec import Struct

from workers.deployment.attempt import Attempt, Phase
from workers.machines import Presence, Sighting


class Ready(Struct, frozen=True):
    """The readiness probe passed."""

    address: str


class NotReady(Struct, frozen=True):
    """A replica that had been ready fails its probe."""

    why: str


class Gone(Struct, frozen=True):
    """The machine has ended without our order."""

    why: str
    preempted: bool


class Unchanged(Struct, frozen=True):
    """Nothing that is not known already."""


UNCHANGED = Unchanged()


def verdict_on_machine(attempt: Attempt, sighting: Sighting | None) -> Gone | Unchanged:
    """Judge by the cloud's list. `sighting` is None where a complete list does not show the machine."""
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


def verdict_on_probe(attempt: Attempt, failure: str | None) -> Ready | NotReady | Unchanged:
    """Judge by the readiness probe; `failure` says why it failed, None that it passed."""
    if attempt.machine is None or attempt.machine.address is None:
        return UNCHANGED
    if failure is None and attempt.phase in (Phase.STARTING, Phase.NOT_READY):
        return Ready(attempt.machine.address)
    if failure is not None and attempt.phase is Phase.READY:
        return NotReady(failure)
    return UNCHANGED
