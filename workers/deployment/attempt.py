"""PURE: one attempt at a replica, from its intent to its end, and the fold of its facts."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.boot_stages import Stage, reported, set_back
from workers.deployment.events import (
    Control,
    ControlLost,
    ControlRegained,
    EngineEnded,
    EngineProgressed,
    Failure,
    KeyNotEnforced,
    LaunchIntended,
    LeaseExtended,
    MachineAddressed,
    MachineCreated,
    MachineGone,
    OfferRefused,
    ProbeFailed,
    ReplicaDrained,
    ReplicaDraining,
    ReplicaGivenUp,
    ReplicaKept,
    ReplicaNotReady,
    ReplicaReady,
)
from workers.machines import Machine, MachineRequest, Whereabouts, whereabouts
from workers.placement.offer import Offer


class Phase(StrEnum):
    """The state of an attempt, in the words that people see."""

    PROVISIONING = "provisioning"  # intended; the cloud has not answered
    REFUSED = "refused"  # the cloud made no machine
    STARTING = "starting"  # the machine exists; the engine was not ready yet
    READY = "ready"
    NOT_READY = "not ready"  # was ready; fails its probe
    DRAINING = "draining"  # not wanted; takes no new request and answers those that it has
    SHUTTING_DOWN = "shutting down"  # not wanted; its end is not confirmed
    ENDED = "ended"  # gone on request of the control loop, without a failure
    PREEMPTED = "preempted"  # gone, preempted by the cloud
    FAILED = "failed"  # gone without a request, or given up after a failure


LIVE = frozenset({Phase.PROVISIONING, Phase.STARTING, Phase.READY, Phase.NOT_READY})
"""The attempt counts as a replica, ready or not yet."""

KEPT = LIVE | {Phase.DRAINING}
"""The control loop keeps the machine, if there is one."""

MAY_COST = KEPT | {Phase.SHUTTING_DOWN}
"""A machine of the attempt may exist."""

LEAVING = frozenset({Phase.DRAINING, Phase.SHUTTING_DOWN})
"""The attempt is given up; its machine may still exist."""

SOUND_AFTER = timedelta(minutes=30)
"""Time of uninterrupted answers after which a replica is sound, and earlier failures no longer count."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt at one machine, from its intent to its end."""

    request: MachineRequest
    beside: int = 0
    """Number of the attempt without an answer whose place it takes; 0: none."""
    phase: Phase
    since: datetime
    intended_at: datetime
    expires_at: datetime
    machine: Machine | None = None
    progress: str = ""
    boot: tuple[Stage, ...] = ()
    """The phases of its boot that the machine has reported, in their order; the last one is the present one."""
    probe_says: str = ""
    """Why the readiness probe has not passed yet."""
    key_refused: bool = False
    """Whether the engine refuses its key: it will not get ready."""
    engine_ends: int = 0
    """Number of the last start of the engine that ended while its machine continued to run."""
    engine_end: EngineEnded | None = None
    """The last end of the engine; None if there was none, or if the replica was ready since."""
    stumbles: int = 0
    """Number of restarts of the engine since it last answered for SOUND_AFTER."""
    answers_since: datetime | None = None
    """When it last became ready."""
    sound: bool = False
    """Whether it has answered for SOUND_AFTER without interruption."""
    why: str = ""
    log_tail: str = ""
    refusal: OfferRefused | None = None
    ready_at: datetime | None = None
    """When it first became ready."""
    not_ready_at: datetime | None = None
    """Start of the probe failures after it was ready; None if the probe passes."""
    address: str | None = None
    open_to_all: bool = False
    """Whether it answers without a key."""
    gone_at: datetime | None = None
    failure: Failure | None = None
    """How it failed; None if it did not."""
    lost: tuple[ControlLost, ...] = ()
    """What the cloud does not let the control loop do with the machine, oldest first; at most one of each kind."""

    @property
    def number(self) -> int:
        return self.request.attempt

    @property
    def replica(self) -> int:
        return self.request.replica

    @property
    def offer(self) -> Offer:
        """The offer that was taken, or the first one of the request."""
        return self.machine.offer if self.machine else self.request.offers[0]

    @property
    def whereabouts(self) -> Whereabouts:
        """Where its machine is, or would be. All offers of a request are in one region."""
        if self.machine is not None:
            return whereabouts(self.machine)
        zone = self.offer.zone if len(self.request.offers) == 1 else ""
        return Whereabouts(region=self.offer.region, zone=zone)

    @property
    def lapsed(self) -> bool:
        """Whether its machine ended without a request after its lease had run out: the lease was not extended."""
        return self.phase is Phase.FAILED and self.gone_at is not None and self.gone_at >= self.expires_at

    def cost(self, now: datetime) -> Decimal:
        """USD until its end, or until `now`, by its listed price; 0 if the price is unknown."""
        if self.machine is None or self.offer.usd_per_hour is None:
            return Decimal(0)
        return self.offer.usd_per_hour * self._seconds(self.machine, now) / 3600

    def saved(self, now: datetime) -> Decimal:
        """USD that spot has saved compared with on demand until its end, or until `now`; 0 if a price is unknown."""
        if self.machine is None or not self.machine.offer.spot:
            return Decimal(0)
        price, on_demand = self.machine.offer.usd_per_hour, self.machine.offer.on_demand_usd_per_hour
        if price is None or on_demand is None:
            return Decimal(0)
        return (on_demand - price) * self._seconds(self.machine, now) / 3600

    def _seconds(self, machine: Machine, now: datetime) -> Decimal:
        return Decimal(max(((self.gone_at or now) - machine.created_at).total_seconds(), 0))

    def is_sound(self, now: datetime) -> bool:
        """Whether it has answered for SOUND_AFTER without interruption, also if that is not recorded yet."""
        if self.sound or self.answers_since is None:
            return self.sound
        return (self.not_ready_at or self.gone_at or now) - self.answers_since > SOUND_AFTER

    def is_ahead(self, now: datetime) -> bool:
        """Whether it waits from a time ahead of now: the clock was set back. A fact about it begins the wait again."""
        later = self.since > now or any(stage.moved_at > now for stage in self.boot)
        return later and self.phase in KEPT and self.phase is not Phase.READY

    @property
    def ordered_at(self) -> datetime:
        """When it ended or was given up; otherwise when it was ready or intended. Failures count in this order."""
        ended = self.gone_at or (self.since if self.phase in LEAVING else None)
        return ended or self.ready_at or self.intended_at


def intended(event: LaunchIntended) -> Attempt:
    """The attempt at its intent."""
    return Attempt(
        request=event.request,
        beside=event.beside,
        phase=Phase.PROVISIONING,
        since=event.at,
        intended_at=event.at,
        expires_at=event.request.expires_at,
    )


def give_up(attempt: Attempt, at: datetime, why: str, *, failure: Failure | None = None) -> Attempt:
    """The attempt after the decision to end its machine; unchanged if that is decided already."""
    if attempt.phase not in KEPT:
        return attempt
    return replace(attempt, phase=Phase.SHUTTING_DOWN, since=at, why=why, failure=failure)


MachineFact = (
    OfferRefused | MachineCreated | MachineAddressed | MachineGone | LeaseExtended | ControlLost | ControlRegained
)
ReplicaFact = (
    EngineProgressed
    | EngineEnded
    | ProbeFailed
    | KeyNotEnforced
    | ReplicaReady
    | ReplicaNotReady
    | ReplicaDraining
    | ReplicaKept
    | ReplicaDrained
    | ReplicaGivenUp
)


Fact = MachineFact | ReplicaFact


def apply(attempt: Attempt, event: Fact, *, stopping: bool) -> Attempt:
    """The attempt after one more fact; defined in every phase. `stopping`: the deployment is to end."""
    if attempt.is_ahead(event.at):
        attempt = replace(attempt, since=min(attempt.since, event.at), boot=set_back(attempt.boot, event.at))
    if isinstance(event, MachineFact):
        return _with_machine_fact(attempt, event, stopping)
    return _with_replica_fact(attempt, event)


def _with_machine_fact(attempt: Attempt, event: MachineFact, stopping: bool) -> Attempt:
    match event:
        case OfferRefused():
            # Two workers may run one intent: a machine that either of them got takes precedence over a refusal.
            if attempt.machine is not None or attempt.phase not in MAY_COST:
                return attempt
            return replace(attempt, phase=Phase.REFUSED, since=event.at, why=event.sentence, refusal=event)
        case MachineCreated():
            # After a failover of Redis that lost an intent, its number is given again: the machine is of no attempt.
            if attempt.machine is not None or event.machine.token != attempt.request.token:
                return attempt
            wanted = attempt.phase is Phase.PROVISIONING and not stopping
            # A machine for an attempt that was refused, given up or gone has to be ended (again).
            phase = Phase.STARTING if wanted else Phase.SHUTTING_DOWN
            return replace(attempt, phase=phase, since=event.at, machine=event.machine, gone_at=None)
        case MachineAddressed():
            if attempt.machine is None:
                return attempt
            served = attempt.address and event.address  # what is published follows the machine
            return replace(attempt, machine=replace(attempt.machine, address=event.address), address=served)
        case MachineGone():
            return _gone(attempt, event) if attempt.phase in MAY_COST else attempt
        case LeaseExtended():
            return replace(_regained(attempt, Control.EXTEND), expires_at=event.expires_at)
        case ControlLost():
            known = attempt.phase not in MAY_COST or lost(attempt, event.what)
            return attempt if known else replace(attempt, lost=(*attempt.lost, event))
        case ControlRegained():
            return _regained(attempt, event.what)
        case _:
            assert_never(event)


def lost(attempt: Attempt, what: Control) -> ControlLost | None:
    """Since when and why the control loop cannot do this with the machine; None if it can."""
    return next((one for one in attempt.lost if one.what is what), None)


def _regained(attempt: Attempt, what: Control) -> Attempt:
    return replace(attempt, lost=tuple(one for one in attempt.lost if one.what is not what))


def _with_replica_fact(attempt: Attempt, event: ReplicaFact) -> Attempt:
    match event:
        case EngineProgressed():
            return replace(attempt, progress=event.progress, boot=reported(attempt.boot, event.boot, event.at))
        case EngineEnded():
            return _engine_ended(attempt, event)
        case ProbeFailed():
            return replace(attempt, probe_says=event.why, key_refused=event.key_refused)
        case KeyNotEnforced():
            return replace(attempt, open_to_all=True)
        case ReplicaReady():
            if attempt.phase not in (Phase.STARTING, Phase.NOT_READY):
                return attempt
            return replace(
                _into(attempt, Phase.READY, event.at),
                ready_at=attempt.ready_at or event.at,
                answers_since=event.at,
                not_ready_at=None,
                address=event.address,
                progress="",
                engine_end=None,
            )
        case ReplicaNotReady():
            if attempt.phase is not Phase.READY:
                return attempt
            return _silent(attempt, event)
        case ReplicaDraining():
            serves = attempt.phase in (Phase.READY, Phase.NOT_READY)
            if not serves:
                return attempt
            return _into(replace(attempt, failure=event.failure), Phase.DRAINING, event.at, event.why)
        case ReplicaKept():
            back = Phase.NOT_READY if attempt.not_ready_at else Phase.READY
            return _into(attempt, back, event.at) if attempt.phase is Phase.DRAINING else attempt
        case ReplicaDrained():
            draining = attempt.phase is Phase.DRAINING
            return _into(attempt, Phase.SHUTTING_DOWN, event.at, attempt.why) if draining else attempt
        case ReplicaGivenUp():
            return give_up(attempt, event.at, event.why, failure=event.failure)
        case _:
            assert_never(event)


def _engine_ended(attempt: Attempt, event: EngineEnded) -> Attempt:
    if attempt.phase not in (Phase.STARTING, Phase.NOT_READY):
        return attempt  # the replica answers: the console was read earlier
    ends, stumbles = max(attempt.engine_ends, event.start), attempt.stumbles + event.again
    return replace(attempt, engine_end=event, engine_ends=ends, stumbles=stumbles)


def _silent(attempt: Attempt, event: ReplicaNotReady) -> Attempt:
    since = event.since or event.at
    silent = replace(_into(attempt, Phase.NOT_READY, since, event.why), not_ready_at=since)
    if attempt.answers_since is None or since - attempt.answers_since <= SOUND_AFTER:
        return silent
    return replace(silent, sound=True, stumbles=0)


def _into(attempt: Attempt, phase: Phase, at: datetime, why: str = "") -> Attempt:
    return replace(attempt, phase=phase, since=at, why=why)


def _gone(attempt: Attempt, event: MachineGone) -> Attempt:
    phase = _gone_phase(attempt, event)
    ended_by_us = attempt.phase in (Phase.SHUTTING_DOWN, Phase.DRAINING) and phase is not Phase.PREEMPTED
    return replace(
        attempt,
        phase=phase,
        since=event.at,
        gone_at=event.at,
        why=attempt.why if ended_by_us else event.why,
        log_tail=event.log_tail,
        lost=(),
        failure=attempt.failure or (Failure.CRASHED if phase is Phase.FAILED else None),
    )


def _gone_phase(attempt: Attempt, event: MachineGone) -> Phase:
    if attempt.phase is Phase.SHUTTING_DOWN or (attempt.phase is Phase.DRAINING and not event.preempted):
        return Phase.FAILED if attempt.failure else Phase.ENDED
    return Phase.PREEMPTED if event.preempted else Phase.FAILED
