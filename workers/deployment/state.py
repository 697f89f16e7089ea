"""What the events of a deployment amount to: a pure fold, total over every event in every state."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from recipes.schema import Recipe
from workers.clouds.driver import Machine, MachineRequest
from workers.deployment.events import (
    AnyEvent,
    DeploymentEnded,
    DeploymentId,
    EndpointPublished,
    EngineProgressed,
    KeepTryingRequested,
    KeyNotEnforced,
    LadderExhausted,
    LadderPlanned,
    LaunchIntended,
    LeaseExtended,
    Limits,
    MachineAddressed,
    MachineCreated,
    MachineGone,
    OfferRefused,
    Place,
    ReplicaGivenUp,
    ReplicaNotReady,
    ReplicaReady,
    Requested,
    ScaleRequested,
    StopRequested,
    TestCompletionAnswered,
    TestCompletionFailed,
    Version,
)
from workers.placement.offer import Offer, Rung


class Phase(StrEnum):
    """Where one attempt at a replica stands, in the words that people see."""

    PROVISIONING = "provisioning"  # intended; the cloud has not answered
    REFUSED = "refused"  # the cloud said no
    STARTING = "starting"  # the machine exists, the engine does not answer yet
    READY = "ready"
    NOT_READY = "not ready"  # was ready, fails its probe
    SHUTTING_DOWN = "shutting down"  # not wanted; its end is not confirmed
    ENDED = "ended"  # gone, as we wanted
    PREEMPTED = "preempted"  # gone, taken back by the cloud
    FAILED = "failed"  # gone by itself


LIVE = frozenset({Phase.PROVISIONING, Phase.STARTING, Phase.READY, Phase.NOT_READY})
"""Counts as a replica that is there or on its way."""

MAY_COST = LIVE | {Phase.SHUTTING_DOWN}
"""A machine of it may exist."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt at one machine, from its intent to its end."""

    request: MachineRequest
    phase: Phase
    since: datetime
    intended_at: datetime
    expires_at: datetime
    machine: Machine | None = None
    progress: str = ""
    why: str = ""
    log_tail: str = ""
    refusal: OfferRefused | None = None
    ready_at: datetime | None = None
    address: str | None = None
    gone_at: datetime | None = None
    failure: bool = False
    """Given up because it failed, not because it was not wanted any more."""

    @property
    def number(self) -> int:
        return self.request.attempt

    @property
    def replica(self) -> int:
        return self.request.replica

    @property
    def offer(self) -> Offer:
        """The offer that was taken, or the first of those asked for."""
        return self.machine.offer if self.machine else self.request.offers[0]


class Status(StrEnum):
    """Where the whole deployment stands, in the words that people see."""

    PLANNING = "planning"
    PROVISIONING = "looking for a machine"
    STARTING = "starting"
    READY = "ready"
    SCALING = "scaling"
    NOT_READY = "not ready"
    ENDING = "shutting down"
    ENDED = "down"
    FAILED = "failed"
    NO_CAPACITY = "no capacity"


class Deployment(Struct, frozen=True, kw_only=True):
    """All that is known of one deployment at one version of its log."""

    id: DeploymentId
    version: Version
    name: str
    recipe: Recipe
    place: Place
    limits: Limits
    wanted: int
    requested_at: datetime
    updated_at: datetime
    rungs: tuple[Rung, ...] = ()
    why_no_rungs: str = ""
    planned_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    exhausted: LadderExhausted | None = None
    dry_in_a_row: int = 0
    """How often the ladder was dry since the last machine."""
    keep_trying: KeepTryingRequested | None = None
    endpoint: EndpointPublished | None = None
    key_not_enforced: bool = False
    test: TestCompletionAnswered | TestCompletionFailed | None = None
    stopped_by: str | None = None
    ended: DeploymentEnded | None = None

    @property
    def live(self) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts if a.phase in LIVE)

    @property
    def ready(self) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts if a.phase is Phase.READY)

    @property
    def usd_per_hour(self) -> Decimal:
        """What the machines that exist now cost together; offers without a known price count as nothing."""
        costing = (a for a in self.attempts if a.phase in MAY_COST and a.machine)
        return sum((a.offer.usd_per_hour or Decimal(0) for a in costing), Decimal(0))

    def spent(self, now: datetime) -> Decimal:
        """USD that the machines have cost up to `now`, by their listed prices."""
        return sum((_cost(a, now) for a in self.attempts), Decimal(0))

    def ran_for(self, now: datetime) -> timedelta:
        """From the request to the end, or to `now`."""
        return (self.ended.at if self.ended else now) - self.requested_at

    @property
    def status(self) -> Status:
        if self.ended:
            return Status.FAILED if self.ended.failed else Status.ENDED
        if self.stopped_by is not None:
            return Status.ENDING
        if self.ready:
            return Status.READY if len(self.ready) == len(self.live) == self.wanted else Status.SCALING
        if any(a.phase is Phase.NOT_READY for a in self.attempts):
            return Status.NOT_READY
        if any(a.phase is Phase.STARTING for a in self.attempts):
            return Status.STARTING
        if self.exhausted is not None:
            return Status.NO_CAPACITY
        return Status.PROVISIONING if self.planned_at else Status.PLANNING


def _cost(attempt: Attempt, now: datetime) -> Decimal:
    if attempt.machine is None or attempt.offer.usd_per_hour is None:
        return Decimal(0)
    seconds = ((attempt.gone_at or now) - attempt.machine.created_at).total_seconds()
    return attempt.offer.usd_per_hour * Decimal(max(seconds, 0)) / 3600


def fold(deployment: DeploymentId, events: Iterable[AnyEvent], onto: Deployment | None = None) -> Deployment | None:
    """The state after `events`, in log order; None for an empty log. `onto` continues from an earlier state."""
    return reduce(lambda state, event: _apply(deployment, state, event), events, onto)


def _apply(id_: DeploymentId, state: Deployment | None, event: AnyEvent) -> Deployment | None:
    if state is None:
        if not isinstance(event, Requested):
            return None  # a log that lost its head says nothing that can be acted on
        return Deployment(
            id=id_,
            version=Version(1),
            name=event.name,
            recipe=event.recipe,
            place=event.place,
            limits=event.limits,
            wanted=event.replicas,
            requested_at=event.at,
            updated_at=event.at,
        )
    state = replace(state, version=Version(state.version + 1), updated_at=event.at)
    return _with(state, event)


def _with(state: Deployment, event: AnyEvent) -> Deployment:
    match event:
        case Requested():
            return state
        case ScaleRequested():
            return replace(state, wanted=event.replicas)
        case StopRequested():
            stopping = tuple(_give_up(a, event.at, "ended by request") for a in state.attempts)
            return replace(state, stopped_by=event.by, wanted=0, attempts=stopping)
        case KeepTryingRequested():
            return replace(state, keep_trying=event)
        case LadderPlanned():
            return replace(state, rungs=event.rungs, why_no_rungs=event.why_empty, planned_at=event.at, exhausted=None)
        case LaunchIntended():
            return replace(state, attempts=(*state.attempts, _intended(event)), exhausted=None)
        case LadderExhausted():
            return replace(state, exhausted=event, dry_in_a_row=state.dry_in_a_row + 1)
        case EndpointPublished():
            return replace(state, endpoint=event, key_not_enforced=False)
        case KeyNotEnforced():
            return replace(state, key_not_enforced=True)
        case TestCompletionAnswered() | TestCompletionFailed():
            return replace(state, test=event)
        case DeploymentEnded():
            return replace(state, ended=event)
        case _:
            dry = 0 if isinstance(event, MachineCreated) else state.dry_in_a_row
            attempts = tuple(
                _with_fact(a, event, state.stopped_by is not None) if a.number == event.attempt else a
                for a in state.attempts
            )
            return replace(state, attempts=attempts, dry_in_a_row=dry)


def _intended(event: LaunchIntended) -> Attempt:
    return Attempt(
        request=event.request,
        phase=Phase.PROVISIONING,
        since=event.at,
        intended_at=event.at,
        expires_at=event.request.expires_at,
    )


def _give_up(attempt: Attempt, at: datetime, why: str, *, failure: bool = False) -> Attempt:
    if attempt.phase not in LIVE:
        return attempt
    return replace(attempt, phase=Phase.SHUTTING_DOWN, since=at, why=why, failure=failure)


AttemptFact = (
    OfferRefused
    | MachineCreated
    | MachineAddressed
    | EngineProgressed
    | ReplicaReady
    | ReplicaNotReady
    | ReplicaGivenUp
    | MachineGone
    | LeaseExtended
)


def _with_fact(attempt: Attempt, event: AttemptFact, stopping: bool) -> Attempt:
    match event:
        case OfferRefused():
            # Two workers may run one intent: where the other got a machine, its machine is the truth.
            if attempt.machine is not None or attempt.phase not in MAY_COST:
                return attempt
            return replace(attempt, phase=Phase.REFUSED, since=event.at, why=event.sentence, refusal=event)
        case MachineCreated():
            if attempt.machine is not None:
                return attempt
            wanted = attempt.phase is Phase.PROVISIONING and not stopping
            # Refused, given up or gone, and a machine all the same: it has to be ended (again).
            phase = Phase.STARTING if wanted else Phase.SHUTTING_DOWN
            return replace(attempt, phase=phase, since=event.at, machine=event.machine, gone_at=None)
        case MachineAddressed():
            if attempt.machine is None:
                return attempt
            served = attempt.address and event.address  # what is published follows the machine
            return replace(attempt, machine=replace(attempt.machine, address=event.address), address=served)
        case EngineProgressed():
            return replace(attempt, progress=event.progress)
        case ReplicaReady():
            if attempt.phase not in (Phase.STARTING, Phase.NOT_READY):
                return attempt
            first = attempt.ready_at or event.at
            return replace(
                attempt, phase=Phase.READY, since=event.at, ready_at=first, address=event.address, why="", progress=""
            )
        case ReplicaNotReady():
            if attempt.phase is not Phase.READY:
                return attempt
            return replace(attempt, phase=Phase.NOT_READY, since=event.at, why=event.why)
        case ReplicaGivenUp():
            return _give_up(attempt, event.at, event.why, failure=event.failure)
        case MachineGone():
            if attempt.phase not in MAY_COST:
                return attempt
            return replace(
                attempt,
                phase=_gone_phase(attempt, event),
                since=event.at,
                gone_at=event.at,
                why=attempt.why if attempt.phase is Phase.SHUTTING_DOWN else event.why,
                log_tail=event.log_tail,
            )
        case LeaseExtended():
            return replace(attempt, expires_at=event.expires_at)
        case _:
            assert_never(event)


def _gone_phase(attempt: Attempt, event: MachineGone) -> Phase:
    if attempt.phase is Phase.SHUTTING_DOWN:
        return Phase.FAILED if attempt.failure else Phase.ENDED
    return Phase.PREEMPTED if event.preempted else Phase.FAILED
