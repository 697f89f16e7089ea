"""PURE: the condition of a deployment, for views, questions, the gateway and commands."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, TypeAlias

from msgspec import Struct

from workers.deployment.attempt import KEPT, MAY_COST, Attempt, Phase
from workers.deployment.events import KeepTryingRequested, LadderExhausted
from workers.deployment.state import Deployment

LEASE_GRACE = timedelta(minutes=1)
"""Time from the end of a lease until its machine counts as ended, for clocks that differ and events that are late."""


class DeploymentStatus(StrEnum):
    """The condition of the whole deployment, in the words that people see."""

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
    DEGRADED = "degraded"
    SCALED_TO_ZERO = "scaled to zero"


class Planning(Struct, frozen=True):
    """No ladder has been planned yet."""

    status: ClassVar = DeploymentStatus.PLANNING


class Looking(Struct, frozen=True):
    """No replica has a machine; one has been requested, or will be, immediately or after a pause."""

    status: ClassVar = DeploymentStatus.PROVISIONING


class Starting(Struct, frozen=True):
    """No replica is ready, and one has a machine whose engine has not been ready yet."""

    replica: Attempt
    status: ClassVar = DeploymentStatus.STARTING


class NotReady(Struct, frozen=True):
    """No replica is ready; `replica` was ready and now fails its readiness probe."""

    replica: Attempt
    status: ClassVar = DeploymentStatus.NOT_READY


class Ready(Struct, frozen=True):
    """Every replica that is wanted is ready."""

    status: ClassVar = DeploymentStatus.READY


class Scaling(Struct, frozen=True):
    """A replica is ready, but the number of ready replicas is not the wanted one."""

    silent: bool
    """Whether a replica that was ready now fails its readiness probe."""
    status: ClassVar = DeploymentStatus.SCALING


class Degraded(Struct, frozen=True):
    """A replica is ready; missing ones failed too often, and are not tried again until a person scales."""

    status: ClassVar = DeploymentStatus.DEGRADED


class Abandoned(Struct, frozen=True):
    """No replica is live: replicas failed too often, and none is tried again until a person scales."""

    why: str
    status: ClassVar = DeploymentStatus.DEGRADED


class NoCapacity(Struct, frozen=True, kw_only=True):
    """No replica is live, and the ladder was dry when it was last tried."""

    dry: LadderExhausted
    established: bool
    """Whether a replica was ever ready: the ladder is then tried again, and the deployment does not end."""
    keep_trying: KeepTryingRequested | None
    """The request that was in force at that time; None if there was none."""
    status: ClassVar = DeploymentStatus.NO_CAPACITY


class ScaledToZero(Struct, frozen=True, kw_only=True):
    """No replica is wanted."""

    wakes: bool
    """Whether a request starts a replica; if not, only a person can."""
    leaving: bool
    """Whether a machine may still exist."""

    @property
    def status(self) -> DeploymentStatus:
        return DeploymentStatus.SCALING if self.leaving else DeploymentStatus.SCALED_TO_ZERO


class Ending(Struct, frozen=True):
    """A person requested its end; its machines are being ended."""

    status: ClassVar = DeploymentStatus.ENDING


class Ended(Struct, frozen=True):
    """It was ended by request; no machine of it is left."""

    status: ClassVar = DeploymentStatus.ENDED


class Failed(Struct, frozen=True):
    """It ended because of a failure; no machine of it is left."""

    why: str
    status: ClassVar = DeploymentStatus.FAILED


Over: TypeAlias = Ending | Ended | Failed
Running: TypeAlias = Planning | Looking | Starting | NotReady | Ready | Scaling | Degraded | Abandoned | NoCapacity
Condition: TypeAlias = Running | ScaledToZero | Over


def condition_of(state: Deployment) -> Condition:
    """The condition of a deployment. An end takes precedence over scaling, ready replicas over missing ones."""
    if state.ended is not None:
        return Failed(state.ended.failed) if state.ended.failed else Ended()
    if state.stopped_by is not None:
        return Ending()
    left = state.abandoned if not state.live else None
    if state.wanted == 0:
        wakes = state.recipe.service.replica_policy.wakes and left is None and state.paused is None
        return ScaledToZero(wakes=wakes, leaving=any(a.phase in MAY_COST for a in state.attempts))
    if left is not None:
        return Abandoned(left.why)
    return _running(state)


def _running(state: Deployment) -> Running:
    first = {a.phase: a for a in reversed(state.attempts)}
    if state.ready and state.abandoned is not None:
        return Degraded()
    if state.ready:
        whole = len(state.ready) >= state.wanted and Phase.DRAINING not in first
        return Ready() if whole else Scaling(silent=Phase.NOT_READY in first)
    if silent := first.get(Phase.NOT_READY):
        return NotReady(silent)
    if starting := first.get(Phase.STARTING):
        return Starting(starting)
    if (dry := state.exhausted) is not None and not state.live:
        asked = state.keep_trying if state.keep_trying and dry.at < state.keep_trying.until else None
        return NoCapacity(dry=dry, established=state.established, keep_trying=asked)
    return Looking() if state.planned_at else Planning()


def is_ending(state: Deployment) -> bool:
    """Whether it has ended, or its end was requested: the endpoint is closed, and it cannot be changed."""
    return state.ended is not None or state.stopped_by is not None


def only_ends(state: Deployment) -> bool:
    """Whether it wants no machine any more: what is left to do waits for no launch.

    Not while it pauses outside its hours: the next thing to do may be to resume.
    """
    return is_ending(state) or (not state.wanted and state.paused is None)


def is_asleep(state: Deployment) -> bool:
    """Whether it is scaled to zero, and a request starts a replica."""
    condition = condition_of(state)
    return isinstance(condition, ScaledToZero) and condition.wakes


def without_lease(state: Deployment, now: datetime) -> tuple[Attempt, ...]:
    """The replicas whose machines have ended themselves, unless their leases were extended without a record."""
    kept = (a for a in state.attempts if a.phase in KEPT and a.machine is not None)
    return tuple(a for a in kept if now > a.expires_at + LEASE_GRACE)


def awaits_route(state: Deployment) -> bool:
    """Whether a replica is ready, but the gateway has not published the endpoint yet."""
    return bool(state.ready) and state.endpoint is None and not is_ending(state)


def awaits_decision(state: Deployment) -> bool:
    """Whether it ends unless a person asks to keep trying."""
    condition = condition_of(state)
    return isinstance(condition, NoCapacity) and not condition.established and condition.keep_trying is None
