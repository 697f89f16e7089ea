"""PURE: what an observation of a machine or of a probe means for a replica."""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.attempt import Attempt, Phase, lost
from workers.deployment.events import Control
from workers.machines import Presence, Sighting


class BecameReady(Struct, frozen=True):
    """The readiness probe passed and, before the first time, the replica completed a prompt."""

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

DISAPPEARED = "its machine disappeared"
ENDED_BY_ITSELF = (
    "expired",
    "deleted",
    "stopped",
    "shut down from inside",
    "the machine no longer exists",
    DISAPPEARED,
)
"""Reasons that a cloud gives for a machine whose deadman ended it."""


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
        return Gone(DISAPPEARED, preempted=False)
    if sighting.presence is Presence.RUNNING:
        return UNCHANGED
    return Gone(sighting.why or "its machine ended", preempted=sighting.presence is Presence.PREEMPTED)


def with_lease(gone: Gone, attempt: Attempt, now: datetime) -> Gone:
    """The end with its cause, if the machine ended itself because its lease was not extended."""
    if gone.preempted or attempt.expires_at > now or gone.why not in ENDED_BY_ITSELF:
        return gone
    refused = lost(attempt, Control.EXTEND)
    cause = f"the cloud did not extend it: {refused.why.rstrip('.')}" if refused else "no worker extended it"
    return replace(gone, why=f"its lease ran out, because {cause}")


def verdict_on_probe(attempt: Attempt, failure: str | None) -> BecameReady | BecameNotReady | Unchanged:
    """The verdict from a readiness probe. `failure`: why it failed; None if it passed."""
    if attempt.machine is None or attempt.machine.address is None:
        return UNCHANGED
    if failure is None and attempt.phase in (Phase.STARTING, Phase.NOT_READY):
        return BecameReady(attempt.machine.address)
    if failure is not None and attempt.phase is Phase.READY:
        return BecameNotReady(failure)
    return UNCHANGED
