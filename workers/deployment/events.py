"""PURE: the events of a deployment: frozen structs in the past tense, in one union."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NewType, TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType

from recipes.schema import Recipe
from workers.machines import BootReport, Machine, MachineRequest
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.refusals import Refusal

DeploymentId = NewType("DeploymentId", str)
"""Random, and new at each launch. Names are reused, ids are not."""

EventId = NewType("EventId", str)
"""Random. A writer whose append got no answer looks for this id to find out whether it succeeded."""

Version = NewType("Version", int)
"""Number of events in the log; the first event makes version 1."""

KeyId = NewType("KeyId", str)
"""Identifies a key without being one: `k-3f9a1c`."""

SNAPSHOT_SCHEMA = 1
"""The schema of the state in a `Snapshotted`. It is raised with each change of the state or its fold without which
earlier versions would decide otherwise: they treat a snapshot of a higher schema as an event of a newer version.
"""

FIRST_KEY = KeyId("first")
"""The launcher's key, made with the deployment."""


class Failure(StrEnum):
    """How a replica failed; SkyServe's FAILED_… kinds."""

    PROVISION = "provision"  # its cloud did not answer, so it is unknown whether a machine exists
    INITIAL_DELAY = "initial delay"  # not ready within the recipe's initial delay
    PROBING = "probing"  # was ready, and failed its probe for too long
    CRASHED = "crashed"  # its machine or its engine ended by itself
    KEY_REFUSED = "key refused"  # its engine asks for another key than the one that it was given


class Control(StrEnum):
    """What the control loop does with a machine by calls to its cloud."""

    LIST = "list"
    EXTEND = "extend"
    END = "end"


class Clock(StrEnum):
    """What ends or pauses a deployment without a person."""

    TIME = "time"  # its end at the time that was set
    IDLE = "idle"  # its end after a time without a request
    HOURS = "hours"  # its pause at 0 replicas outside its hours


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where in Slack a deployment was requested, and by whom."""

    team: str
    channel: str
    user: str
    shared_with: tuple[str, ...] = ()
    """The other companies that could read the channel at the launch, each as `Acme (T0ACME)`, or as its id alone."""


class Event(Struct, frozen=True, kw_only=True, tag=True):
    event_id: EventId
    at: datetime


class AttemptEvent(Event, frozen=True, kw_only=True):
    attempt: int


class Approval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The approval of a launch or of a scale."""

    by: str
    reason: str = ""
    """Why it was needed, as a clause."""
    request: str = ""
    """The id of the request that was approved."""


class Requested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person requested a deployment. Always the first event."""

    name: str
    recipe: Recipe
    replicas: int
    place: Place
    limits: Limits
    until: datetime | None = None
    """When it is to end; None if it runs until a person ends it."""
    ceiling: Decimal | None = None
    """Maximum USD per hour of its live replicas together, without those that are ending; None if it has no maximum."""
    approved: Approval | None = None
    """None if it needed no approval."""
    stop_after_idle: timedelta | None = None
    """Time without a request after which it ends; None if it does not end for that."""
    hours: str = ""
    """The hours outside which it pauses at 0 replicas, as `recipes.hours` writes them; empty if it does not pause."""


class ScaleRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person requested another number of replicas."""

    replicas: int
    by: str
    ceiling: Decimal | None = None
    """The new maximum USD per hour; None if it does not change."""
    approved: Approval | None = None
    """None if it needed no approval."""


class Autoscaled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Autoscaling or a clock changed the number of replicas."""

    replicas: int
    why: str
    clock: Clock | None = None
    """HOURS: its hours are over (0 replicas) or begin (the number before the pause). None: the load."""


class KeyIssued(Event, frozen=True, kw_only=True):
    """A person got a key to the endpoint. The key itself is in `mixtral:keys:<id>`, never here."""

    key: KeyId
    user: str
    by: str


class KeyRevoked(Event, frozen=True, kw_only=True):
    """The endpoint no longer accepts a key."""

    key: KeyId
    by: str


class Shared(Event, frozen=True, kw_only=True):
    """A co-owner named another co-owner."""

    user: str
    by: str


class Unshared(Event, frozen=True, kw_only=True):
    """A person is no longer a co-owner."""

    user: str
    by: str


class EndScheduled(Event, frozen=True, kw_only=True):
    """A person, or a budget that is used up, set another time at which the deployment ends."""

    until: datetime
    by: str
    """The person; empty if no person set it."""


class EndAnnounced(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The deployment will end at `until`, unless a person keeps it. It ends NOTICE after this event at the earliest."""

    until: datetime
    clock: Clock = Clock.TIME
    """Why; HOURS: it does not end, but pauses at 0 replicas."""
    idle_since: datetime | None = None
    """IDLE: since when it has no request."""


class ClockHeld(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A clock neither ends nor pauses the deployment before `until`. An announcement of it no longer holds."""

    clock: Clock
    until: datetime
    by: str = ""
    """The person; empty if a request did it, or what may have been one."""
    why: str = ""
    """If no person did it: the reason, for people, without a full stop."""


class IdleNoticed(Event, frozen=True, kw_only=True):
    """A deployment without any clock has had no request since `since`. At most once a day."""

    since: datetime


class StopRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person requested the end of the deployment, or a clock did."""

    by: str
    """The person; empty if a clock did."""
    clock: Clock = Clock.TIME
    """The clock, if no person did."""


class KeepTryingRequested(Event, frozen=True, kw_only=True):
    """A person requested that a dry ladder be tried again at the interval `every`, until `until`."""

    by: str
    every: timedelta
    until: datetime


class LadderPlanned(Event, frozen=True, kw_only=True):
    """The offers were planned, in the order in which they are tried."""

    rungs: tuple[Rung, ...]
    why_empty: str = ""
    """If there is no rung: the limit or requirement that excludes all offers."""
    as_before: bool = False
    """Whether the ladder equals the last one, and is left out: a dry ladder may be planned again for days."""


class WeightsChecked(Event, frozen=True, kw_only=True):
    """The hub was asked about the model's weights before the first machine was requested."""

    model: str
    says: str = ""
    """Why they may not be downloadable, as sentences for people; empty if they are."""


class LaunchIntended(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A machine will be requested. Appended before the call to the cloud."""

    request: MachineRequest
    beside: int = 0
    """Number of the attempt without an answer whose place this one takes; 0: none."""


class OfferRefused(AttemptEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The cloud refused an attempt; no machine of it exists."""

    refusals: tuple[Refusal, ...]
    """The cloud's answers, each with the offers that it concerns; never empty."""
    beside: int = 0
    """Number of the last ones that concern no offer of the request: places where no launch can succeed."""

    @property
    def of_request(self) -> tuple[Refusal, ...]:
        """The answers that concern the request's own offers."""
        return self.refusals[: len(self.refusals) - self.beside]

    @property
    def code(self) -> str:
        """The codes, as the cloud writes them."""
        return ", ".join(dict.fromkeys(r.code for r in self.of_request))

    @property
    def sentence(self) -> str:
        """The reasons in plain words, without a full stop."""
        return "; ".join(dict.fromkeys(r.sentence for r in self.of_request))


class MachineCreated(AttemptEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A machine exists, and is charged."""

    machine: Machine
    disk_gib: int | None = None
    """Size of its boot disk that was requested; None without a cloud's disk."""


class MachineAddressed(AttemptEvent, frozen=True, kw_only=True):
    """The cloud has assigned an address to the machine, or has changed it."""

    address: str


class EngineProgressed(AttemptEvent, frozen=True, kw_only=True, omit_defaults=True):
    """What the machine does before its engine answers, in a few words."""

    progress: str
    boot: BootReport | None = None
    """The phase of its boot; None if the machine reports none."""


class EngineEnded(AttemptEvent, frozen=True, kw_only=True):
    """The engine has ended while its machine continues to run, as read from the console."""

    how: str
    """`vllm exited with status 137`; if the machine has stopped restarting it, the reason in a few words."""
    start: int = 0
    """The number of the start that ended, counted by the machine."""
    again: bool
    """Whether the machine starts it again."""


class ProbeFailed(AttemptEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A replica that was never ready fails its readiness probe for a new reason."""

    why: str
    key_refused: bool = False
    """Whether its engine has refused the key several times in a row, so that it is given up."""


class ReplicaReady(AttemptEvent, frozen=True, kw_only=True):
    """The readiness probe passed and, before the first time, the replica completed a prompt."""

    address: str


class ReplicaNotReady(AttemptEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A replica that was ready fails its readiness probe. Appended again if the clock was set back."""

    why: str
    since: datetime | None = None
    """When the first of the failed probes was sent; None if unknown."""


class ReplicaDraining(AttemptEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A replica takes no new request, and ends once it has answered those that it has.

    Appended again if the clock was set back.
    """

    why: str
    failure: Failure | None = None
    """None if it did not fail, but is no longer needed."""


class ReplicaKept(AttemptEvent, frozen=True, kw_only=True):
    """A draining replica is kept, because it is needed again."""


class ReplicaDrained(AttemptEvent, frozen=True, kw_only=True):
    """A draining replica has answered its last request at the gateway."""


class ReplicaGivenUp(AttemptEvent, frozen=True, kw_only=True):
    """A replica is to end: it is no longer needed, was not ready in time, or failed."""

    why: str
    failure: Failure | None = None
    """None if it did not fail, but is no longer needed."""


class ReplicasAbandoned(Event, frozen=True, kw_only=True):
    """Replicas failed too often in a row; none is tried until a person scales."""

    why: str


class MachineGone(AttemptEvent, frozen=True, kw_only=True):
    """The machine of an attempt has ended, on request of the control loop or without it."""

    why: str
    log_tail: str = ""
    preempted: bool = False
    ended_at: datetime | UnsetType = UNSET
    """When it ended, by its cloud; absent if the cloud did not tell it."""


class LeaseExtended(AttemptEvent, frozen=True, kw_only=True):
    """The expiry of the machine was moved to `expires_at`."""

    expires_at: datetime


class ControlLost(Event, frozen=True, kw_only=True):
    """The cloud does not let the control loop list, extend or end the machine of an attempt."""

    attempt: int
    what: Control
    since: datetime
    why: str
    """The cloud's words."""


class ControlRegained(Event, frozen=True, kw_only=True):
    """The cloud lets the control loop do it again."""

    attempt: int
    what: Control


class LadderExhausted(Event, frozen=True, kw_only=True):
    """No rung of the ladder can be tried at this time."""

    why: str


class EndpointPublished(Event, frozen=True, kw_only=True):
    """The gateway has a route to the deployment: it answers at this address (`http://host:port`, without a path)."""

    url: str


class KeyNotEnforced(Event, frozen=True, kw_only=True):
    """A replica answered without a key: any client that can reach its port can use it."""

    attempt: int = 0
    url: str


class TestCompletionAnswered(Event, frozen=True, kw_only=True):
    """The model completed the test sentence."""

    prompt: str
    text: str
    seconds: float


class TestCompletionFailed(Event, frozen=True, kw_only=True):
    """The endpoint did not complete the test sentence, although a replica is ready."""

    prompt: str
    why: str


class DeploymentEnded(Event, frozen=True, kw_only=True):
    """The deployment has ended: it has no machine and no name. Always the last decision; facts may follow."""

    failed: str | None = None
    """The cause and how to fix it; None if a person ended it, or the time that was set for its end came."""


class Snapshotted(Event, frozen=True, kw_only=True):
    """The events before this one were replaced by the state that they led to. Then it is the first of the log."""

    version: Version
    """Of this event."""
    schema: int
    state: Raw
    """The state at the version before, as JSON."""
    requests: tuple[EventId, ...] = ()
    """The ids of earlier events that show that a request was carried out, the newest last."""


AnyEvent: TypeAlias = (
    Requested
    | ScaleRequested
    | Autoscaled
    | KeyIssued
    | KeyRevoked
    | Shared
    | Unshared
    | EndScheduled
    | EndAnnounced
    | ClockHeld
    | IdleNoticed
    | StopRequested
    | KeepTryingRequested
    | LadderPlanned
    | WeightsChecked
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
    | ControlLost
    | ControlRegained
    | LadderExhausted
    | EndpointPublished
    | KeyNotEnforced
    | TestCompletionAnswered
    | TestCompletionFailed
    | DeploymentEnded
    | Snapshotted
)


class NewerEvent(Struct, frozen=True, kw_only=True):
    """An event that this version cannot read, because a newer one has written it. It is never appended."""

    type: str
    event_id: EventId = EventId("")
    at: datetime | None = None


LoggedEvent: TypeAlias = AnyEvent | NewerEvent
