"""PURE: what an observation of a machine or of a probe means for a replica."""

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from workers.decision.load import STALE
from workers.deployment.attempt import Attempt, Phase, lost
from workers.deployment.events import Control
from workers.deployment.loads import Load
from workers.machines import Presence, Sighting
from workers.serving.unready import Unready

FLOWS_WITHIN = timedelta(seconds=10)
"""Maximum time since the last growth of a replica's answers at which it counts as working. HAProxy counts every 5 s."""


class BecameReady(Struct, frozen=True):
    """The readiness probe passed and, before the first time, the replica completed a prompt."""

    address: str


class BecameNotReady(Struct, frozen=True):
    """A replica that was ready fails its readiness probe."""

    why: str
    since: datetime | None = None
    """When the first of the failed probes was sent."""


class Busy(Struct, frozen=True):
    """A replica does not answer its readiness probe, and other evidence shows that it works."""


class Gone(Struct, frozen=True):
    """The machine has ended without a request of the control loop."""

    why: str
    preempted: bool
    ended_at: datetime | None = None
    """By its cloud; None if the cloud does not tell it."""


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

ProbeVerdict: TypeAlias = BecameReady | BecameNotReady | Busy | Unchanged


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known of a replica besides the answer to its readiness probe. None: not known."""

    checked: bool | None = None
    """Whether the gateway's health check of it passes."""
    idle: timedelta | None = None
    """Time since its answers last grew at the gateway."""
    computing: bool = False
    """Whether the engine's counters of tokens grew."""

    @property
    def works(self) -> bool:
        """Whether it works, although it does not answer its probe."""
        flows = self.idle is not None and self.idle <= FLOWS_WITHIN
        return self.checked is not False and (flows or self.computing)


NO_EVIDENCE = Evidence()


def evidence_of(load: Load | None, attempt: int, now: datetime, *, computing: bool = False) -> Evidence:
    """The evidence about an attempt. `load`: the newest one from the gateway; an old one is ignored."""
    replica = load.replicas.get(attempt) if load is not None and now - load.at <= STALE else None
    if load is None or replica is None:
        return Evidence(computing=computing)
    age = max(now - load.at, timedelta())
    idle = None if replica.idle is None else timedelta(seconds=replica.idle) + age
    return Evidence(checked=replica.up, idle=idle, computing=computing)


def streaming(load: Load | None, now: datetime) -> frozenset[int]:
    """The attempts that are answering requests, by the newest load from the gateway; an old one is ignored."""
    if load is None or now - load.at > STALE:
        return frozenset()
    return frozenset(number for number, replica in load.replicas.items() if replica.requests)


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
    preempted = sighting.presence is Presence.PREEMPTED
    return Gone(sighting.why or "its machine ended", preempted=preempted, ended_at=sighting.ended_at)


def with_lease(gone: Gone, attempt: Attempt, now: datetime) -> Gone:
    """The end with its cause, if the machine ended itself because its lease was not extended."""
    if gone.preempted or attempt.expires_at > now or gone.why not in ENDED_BY_ITSELF:
        return gone
    refused = lost(attempt, Control.EXTEND)
    cause = f"the cloud did not extend it: {refused.why.rstrip('.')}" if refused else "no worker extended it"
    return replace(gone, why=f"its lease ran out, because {cause}")


def verdict_on_probe(
    attempt: Attempt, failure: Unready | None, evidence: Evidence = NO_EVIDENCE, since: datetime | None = None
) -> ProbeVerdict:
    """The verdict from a readiness probe.

    `failure`: why it failed; None if it passed. `since`: when the first of the failed probes in a row was sent.
    Silence alone is no failure while other evidence shows that the replica works: its slots may all be in use.
    """
    if attempt.machine is None or attempt.machine.address is None:
        return UNCHANGED
    if failure is None and attempt.phase in (Phase.STARTING, Phase.NOT_READY):
        return BecameReady(attempt.machine.address)
    if failure is not None and attempt.phase is Phase.READY:
        return Busy() if failure.silent and evidence.works else BecameNotReady(failure.why, since)
    return UNCHANGED
