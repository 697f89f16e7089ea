"""PURE: how a deployment stands: one answer for views, questions, the gateway and commands."""

from enum import StrEnum
from typing import ClassVar, TypeAlias

from msgspec import Struct

from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.events import KeepTryingRequested, LadderExhausted
from workers.deployment.state import Deployment


class DeploymentStatus(StrEnum):
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
    DEGRADED = "degraded"
    SCALED_TO_ZERO = "scaled to zero"


class Planning(Struct, frozen=True):
    """Clouds and prices have not been looked at yet."""

    status: ClassVar = DeploymentStatus.PLANNING


class Looking(Struct, frozen=True):
    """No replica has a machine; one is asked for, or will be at once or after a pause."""

    status: ClassVar = DeploymentStatus.PROVISIONING


class Starting(Struct, frozen=True):
    """A machine exists, and no replica has answered yet."""

    replica: Attempt
    status: ClassVar = DeploymentStatus.STARTING


class NotReady(Struct, frozen=True):
    """No replica is ready; `replica` was, and fails its readiness probe."""

    replica: Attempt
    status: ClassVar = DeploymentStatus.NOT_READY


class Ready(Struct, frozen=True):
    """Every replica that is wanted is ready."""

    status: ClassVar = DeploymentStatus.READY


class Scaling(Struct, frozen=True):
    """A replica is ready, and their number is not the one that is wanted."""

    silent: bool
    """A replica that was ready fails its readiness probe."""
    status: ClassVar = DeploymentStatus.SCALING


class Degraded(Struct, frozen=True):
    """A replica is ready; those that are lacking failed too often, and are not tried again until somebody scales."""

    status: ClassVar = DeploymentStatus.DEGRADED


class Abandoned(Struct, frozen=True):
    """No replica is live: they failed too often, and none is tried again until somebody scales."""

    why: str
    status: ClassVar = DeploymentStatus.DEGRADED


class NoCapacity(Struct, frozen=True, kw_only=True):
    """No replica is live, and the last look at the ladder found no machine."""

    dry: LadderExhausted
    established: bool
    """A replica was ready once: it asks again by itself, and does not end."""
    keep_trying: KeepTryingRequested | None
    """The request that was in force at that look."""
    status: ClassVar = DeploymentStatus.NO_CAPACITY


class ScaledToZero(Struct, frozen=True, kw_only=True):
    """No replica is wanted."""

    wakes: bool
    """A request brings a replica back; else only a person does."""
    leaving: bool
    """A machine may still exist."""

    @property
    def status(self) -> DeploymentStatus:
        return DeploymentStatus.SCALING if self.leaving else DeploymentStatus.SCALED_TO_ZERO


class Ending(Struct, frozen=True):
    """Somebody asked for its end; its machines are being ended."""

    status: ClassVar = DeploymentStatus.ENDING


class Ended(Struct, frozen=True):
    """Nothing of it is left, by request."""

    status: ClassVar = DeploymentStatus.ENDED


class Failed(Struct, frozen=True):
    """Nothing of it is left, since it could not go on."""

    why: str
    status: ClassVar = DeploymentStatus.FAILED


Over: TypeAlias = Ending | Ended | Failed
Running: TypeAlias = Planning | Looking | Starting | NotReady | Ready | Scaling | Degraded | Abandoned | NoCapacity
Condition: TypeAlias = Running | ScaledToZero | Over


def condition_of(state: Deployment) -> Condition:
    """How it stands: its end before the number that is wanted, what answers before what is lacking."""
    if state.ended is not None:
        return Failed(state.ended.failed) if state.ended.failed else Ended()
    if state.stopped_by is not None:
        return Ending()
    left = state.abandoned if not state.live else None
    if state.wanted == 0:
        wakes = state.recipe.service.replica_policy.wakes and left is None
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
    """Whether it has ended, or its end was asked for: its endpoint is closed, and nothing of it can be changed."""
    return state.ended is not None or state.stopped_by is not None


def is_asleep(state: Deployment) -> bool:
    """Whether it is scaled to zero, and a request brings a replica back."""
    condition = condition_of(state)
    return isinstance(condition, ScaledToZero) and condition.wakes


def awaits_route(state: Deployment) -> bool:
    """Whether a replica is ready, and the gateway has not published the endpoint yet."""
    return bool(state.ready) and state.endpoint is None and not is_ending(state)


def awaits_decision(state: Deployment) -> bool:
    """Whether it ends unless somebody asks to keep trying."""
    condition = condition_of(state)
    return isinstance(condition, NoCapacity) and not condition.established and condition.keep_trying is None
