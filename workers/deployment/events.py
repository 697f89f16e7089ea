"""PURE: everything that can have happened to a deployment: facts in the past tense, frozen, in one union."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType, TypeAlias

from msgspec import Struct

from recipes.schema import Recipe
from workers.machines import Machine, MachineRequest
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.refusals import Refusal

DeploymentId = NewType("DeploymentId", str)
"""Random at each launch; names never come back, ids never do either."""

EventId = NewType("EventId", str)
"""Random; by it a writer finds out whether an append whose answer was lost had succeeded."""

Version = NewType("Version", int)
"""How many events the log holds: the first is 1."""


KeyId = NewType("KeyId", str)
"""Names a key without being one: `k-3f9a`."""

FIRST_KEY = KeyId("first")
"""The launcher's, made with the deployment."""


class Failure(StrEnum):
    """How a replica failed; SkyServe's FAILED_… kinds."""

    PROVISION = "provision"  # its cloud never said whether there is a machine
    INITIAL_DELAY = "initial delay"  # never ready in the time that the recipe allows
    PROBING = "probing"  # was ready, and failed its probe for too long
    CRASHED = "crashed"  # its machine or its engine ended by itself


class Place(Struct, frozen=True, kw_only=True):
    """Where in Slack a deployment was asked for, and by whom."""

    team: str
    channel: str
    user: str


class Event(Struct, frozen=True, kw_only=True, tag=True):
    """What every event tells."""

    event_id: EventId
    at: datetime


class Requested(Event, frozen=True, kw_only=True):
    """Somebody asked for a deployment. Always the first event."""

    name: str
    recipe: Recipe
    replicas: int
    place: Place
    limits: Limits


class ScaleRequested(Event, frozen=True, kw_only=True):
    """Somebody asked for another number of replicas."""

    replicas: int
    by: str


class Autoscaled(Event, frozen=True, kw_only=True):
    """The load, or the want of it, asked for another number of replicas."""

    replicas: int
    why: str


class KeyIssued(Event, frozen=True, kw_only=True):
    """Somebody got a key to the endpoint. The key itself is in `mixtral:keys:<id>`, never here."""

    key: KeyId
    user: str
    by: str


class KeyRevoked(Event, frozen=True, kw_only=True):
    """A key opens the endpoint no more."""

    key: KeyId
    by: str


class StopRequested(Event, frozen=True, kw_only=True):
    """Somebody asked for the end of the deployment."""

    by: str


class KeepTryingRequested(Event, frozen=True, kw_only=True):
    """Somebody asked for the ladder to be climbed again and again while it is dry."""

    by: str
    every: timedelta
    until: datetime


class LadderPlanned(Event, frozen=True, kw_only=True):
    """The offers, in the order in which they will be tried, as they stood at the launch."""

    rungs: tuple[Rung, ...]
    why_empty: str = ""
    """Where there is no rung: which limit or which need stands in the way."""
    as_before: bool = False
    """Nothing has changed since the last ladder, and it is not told again: a dry one is looked at for days."""


class LaunchIntended(Event, frozen=True, kw_only=True):
    """A machine is about to be asked for. Appended before the cloud hears of it."""

    request: MachineRequest


class OfferRefused(Event, frozen=True, kw_only=True):
    """The cloud said no to an attempt; no machine of it exists."""

    attempt: int
    refusals: tuple[Refusal, ...]
    """What was said of which of the attempt's offers; never empty."""

    @property
    def code(self) -> str:
        """The codes, as the cloud writes them."""
        return ", ".join(dict.fromkeys(r.code for r in self.refusals))

    @property
    def sentence(self) -> str:
        """The reasons in plain words, without a full stop."""
        return "; ".join(dict.fromkeys(r.sentence for r in self.refusals))


class MachineCreated(Event, frozen=True, kw_only=True):
    """A machine exists, and costs."""

    attempt: int
    machine: Machine


class MachineAddressed(Event, frozen=True, kw_only=True):
    """The cloud has given the machine an address."""

    attempt: int
    address: str


class EngineProgressed(Event, frozen=True, kw_only=True):
    """What the machine is busy with before its engine answers, in a few words."""

    attempt: int
    progress: str


class EngineEnded(Event, frozen=True, kw_only=True):
    """The engine has ended on a machine that lives on; the machine's console says so."""

    attempt: int
    how: str
    """`vllm exited with status 137`; of a machine that gave up, why, in a few words."""
    start: int = 0
    """The number of the start that ended, as the machine counts."""
    again: bool
    """Whether the machine starts it again."""


class ProbeFailed(Event, frozen=True, kw_only=True):
    """A replica that was never ready fails its readiness probe, in another way than before."""

    attempt: int
    why: str


class ReplicaReady(Event, frozen=True, kw_only=True):
    """The readiness probe passed."""

    attempt: int
    address: str


class ReplicaNotReady(Event, frozen=True, kw_only=True):
    """A replica that had been ready fails its probe."""

    attempt: int
    why: str


class ReplicaDraining(Event, frozen=True, kw_only=True):
    """A replica takes no new request, and is to end once it has answered those that it has."""

    attempt: int
    why: str


class ReplicaKept(Event, frozen=True, kw_only=True):
    """A replica that was draining is wanted again."""

    attempt: int


class ReplicaDrained(Event, frozen=True, kw_only=True):
    """The gateway has no request left on a replica that was draining."""

    attempt: int


class ReplicaGivenUp(Event, frozen=True, kw_only=True):
    """A replica is to be ended: not wanted any more, never ready in time, or failing for too long."""

    attempt: int
    why: str
    failure: Failure | None = None
    """None: it did not fail, it is not wanted any more."""


class ReplicasAbandoned(Event, frozen=True, kw_only=True):
    """Replicas crashed so often in a row that no further one is tried until somebody scales."""

    why: str


class MachineGone(Event, frozen=True, kw_only=True):
    """The machine of an attempt has ended, by our order or by itself."""

    attempt: int
    why: str
    log_tail: str = ""
    preempted: bool = False


class LeaseExtended(Event, frozen=True, kw_only=True):
    """The machine was told that it may live on."""

    attempt: int
    expires_at: datetime


class LadderExhausted(Event, frozen=True, kw_only=True):
    """No rung is left to try at this moment."""

    why: str


class EndpointPublished(Event, frozen=True, kw_only=True):
    """The gateway has a route to the deployment: it answers at this address (`http://host:port`, without a path)."""

    url: str


class KeyNotEnforced(Event, frozen=True, kw_only=True):
    """A replica answered without a key: whoever reaches its port can use it."""

    attempt: int = 0
    url: str


class TestCompletionAnswered(Event, frozen=True, kw_only=True):
    """The model finished the sentence that it was given after boot."""

    prompt: str
    text: str
    seconds: float


class TestCompletionFailed(Event, frozen=True, kw_only=True):
    """The endpoint did not finish the sentence: it is up, and does not work."""

    prompt: str
    why: str


class DeploymentEnded(Event, frozen=True, kw_only=True):
    """Nothing of the deployment is left: no machine, no name. Always the last decision; facts may follow."""

    failed: str | None = None
    """The cause and the mend, when it was not ended by somebody."""


AnyEvent: TypeAlias = (
    Requested
    | ScaleRequested
    | Autoscaled
    | KeyIssued
    | KeyRevoked
    | StopRequested
    | KeepTryingRequested
    | LadderPlanned
    | LaunchIntended
    | OfferRefused
    | MachineCreated
    | MachineAddressed
    | EngineProgressed
    | EngineEnded
    | ProbeFailed
    | ReplicaReady
    | ReplicaNotReady
    | ReplicaDraining
    | ReplicaKept
    | ReplicaDrained
    | ReplicaGivenUp
    | ReplicasAbandoned
    | MachineGone
    | LeaseExtended
    | LadderExhausted
    | EndpointPublished
    | KeyNotEnforced
    | TestCompletionAnswered
    | TestCompletionFailed
    | DeploymentEnded
)
