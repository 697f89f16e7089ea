"""PURE: the state of a deployment, folded from its events; defined for every event in every state."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never

from msgspec import MsgspecError, Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from recipes.hours import InvalidHours, hours_of, is_open
from recipes.schema import Recipe
from workers.deployment.attempt import KEPT, LIVE, MAY_COST, Attempt, Fact, Phase, apply, give_up, intended
from workers.deployment.events import (
    FIRST_KEY,
    AnyEvent,
    Approval,
    Autoscaled,
    Clock,
    ClockHeld,
    DeploymentEnded,
    DeploymentId,
    EndAnnounced,
    EndpointPublished,
    EndScheduled,
    IdleNoticed,
    KeepTryingRequested,
    KeyId,
    KeyIssued,
    KeyRevoked,
    LadderExhausted,
    LadderPlanned,
    LaunchIntended,
    LoggedEvent,
    MachineCreated,
    NewerEvent,
    OfferRefused,
    Place,
    ReplicasAbandoned,
    Requested,
    ScaleRequested,
    Shared,
    Snapshotted,
    StopRequested,
    TestCompletionAnswered,
    TestCompletionFailed,
    Unshared,
    Version,
    WeightsChecked,
)
from workers.deployment.working_set import Left, WorkingSet, with_attempt
from workers.errors import UnreadableLog
from workers.placement.ladder import Rung
from workers.placement.limits import Limits

HELD_FOR = timedelta(hours=4)
"""Time for which a person who adds replicas outside the hours keeps the deployment from the next pause."""


class Key(Struct, frozen=True, kw_only=True):
    """A key's id, owner and time, without the key itself."""

    id: KeyId
    user: str
    issued_at: datetime


class Deployment(Struct, frozen=True, kw_only=True):
    """The state of one deployment at one version of its log."""

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
    weights: WeightsChecked | None = None
    """What the hub said about the weights; None if it was not asked."""
    attempts: tuple[Attempt, ...] = ()
    """In the order of their intents: each whose machine may exist, and those of the others that still matter."""
    left: Left = Left()
    """The sums of the attempts that are no longer in `attempts`."""
    exhausted: LadderExhausted | None = None
    dry_in_a_row: int = 0
    """Number of times that the ladder was dry since the last machine was made."""
    keep_trying: KeepTryingRequested | None = None
    scaled: ScaleRequested | Autoscaled | None = None
    """The last change of `wanted`."""
    abandoned: ReplicasAbandoned | None = None
    tries_from: datetime
    """Time of the last request for replicas by a person. Failures of earlier attempts do not count."""
    out_since: datetime | None = None
    """Start of an outage: replicas are wanted, one was ready before, and none is now. None otherwise."""
    keys: tuple[Key, ...] = ()
    co_owners: tuple[str, ...] = ()
    """The people whom a co-owner named, besides the launcher and the admins."""
    endpoint: EndpointPublished | None = None
    test: TestCompletionAnswered | TestCompletionFailed | None = None
    until: datetime | None = None
    """When it is to end; None if it runs until a person ends it."""
    ceiling: Decimal | None = None
    """Maximum USD per hour of its live replicas together, without those that are ending; None if it has no maximum."""
    approved: Approval | None = None
    """The last approval: everything under the ceiling needs no second one. None: nothing needed one."""
    kept: EndScheduled | None = None
    """The last change of `until` by a person."""
    end_announced: EndAnnounced | None = None
    """The last announcement of its end at `until`."""
    stop_after_idle: timedelta | None = None
    """Time without a request after which it ends; None if it does not end for that."""
    idle_end: EndAnnounced | None = None
    """The announcement of its end for lack of requests that holds now."""
    idle_held: ClockHeld | None = None
    """The last time that it was kept from that end."""
    idle_noticed: IdleNoticed | None = None
    hours: str = ""
    """The hours outside which it pauses at 0 replicas, as `recipes.hours` writes them; empty if it does not pause."""
    pause_announced: EndAnnounced | None = None
    """The last announcement of a pause, until the pause or until it was kept from it."""
    hours_held: ClockHeld | None = None
    """The last time that a person kept it from a pause."""
    paused: int | None = None
    """During a pause: the number of replicas that are wanted when its hours begin. None otherwise."""
    stopped_by: str | None = None
    """The person who requested its end; empty if a clock did, None if it runs."""
    stopped_for: Clock = Clock.TIME
    """If a clock requested its end: which one."""
    ended: DeploymentEnded | None = None
    newer: str = ""
    """The type of the first event that this version cannot read; empty if it can read all.

    Nothing is decided then: machines may exist that the state does not contain. Leases are extended all the same.
    """

    snapshot: Version = Version(0)
    """The version of the last snapshot in the log; 0 if there was none."""

    @property
    def live(self) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts if a.phase in LIVE)

    @property
    def ready(self) -> tuple[Attempt, ...]:
        return tuple(a for a in self.attempts if a.phase is Phase.READY)

    @property
    def key_not_enforced(self) -> bool:
        """Whether a replica answers without a key."""
        return any(a.open_to_all for a in self.attempts if a.phase in KEPT)

    @property
    def established(self) -> bool:
        """Whether a replica was ever ready: people use the endpoint, and only a person ends the deployment."""
        return any(a.ready_at for a in self.attempts)

    @property
    def refusals(self) -> list[OfferRefused]:
        """Every refusal, oldest first."""
        return sorted((a.refusal for a in self.attempts if a.refusal is not None), key=lambda refused: refused.at)

    @property
    def usd_per_hour(self) -> Decimal:
        """Sum of the exact prices of existing machines; an unknown price counts as 0."""
        costing = (a for a in self.attempts if a.phase in MAY_COST and a.machine)
        return sum((a.offer.usd_per_hour or Decimal(0) for a in costing), Decimal(0))

    def spent(self, now: datetime) -> Decimal:
        """USD that the machines have cost up to `now`, by their listed prices."""
        return sum((a.cost(now) for a in self.attempts), self.left.usd)

    def saved(self, now: datetime) -> Decimal:
        """USD that spot has saved up to `now`, by the prices at the launch."""
        return sum((a.saved(now) for a in self.attempts), self.left.saved)

    def ran_for(self, now: datetime) -> timedelta:
        """From the request to the end, or to `now`."""
        return (self.ended.at if self.ended else now) - self.requested_at


Asked = (
    ScaleRequested
    | Autoscaled
    | KeyIssued
    | KeyRevoked
    | Shared
    | Unshared
    | EndScheduled
    | ClockHeld
    | StopRequested
    | KeepTryingRequested
)


_decode = Decoder(Deployment).decode


def fold(deployment: DeploymentId, events: Iterable[LoggedEvent], onto: Deployment | None = None) -> Deployment | None:
    """The state after `events`, in log order; None for an empty log. `onto` continues from an earlier state.

    Raises UnreadableLog if a snapshot cannot be read, and the events before it are not known.
    """
    state, attempts = onto, WorkingSet(onto.attempts if onto else ())
    for event in events:
        state = _apply(deployment, state, attempts, event)
    return replace(state, attempts=tuple(attempts)) if state else None


def _apply(id_: DeploymentId, state: Deployment | None, attempts: WorkingSet, event: LoggedEvent) -> Deployment | None:
    """The state after one more event. Its attempts are in `attempts`, which is changed; its field is not read."""
    if isinstance(event, Snapshotted):
        return _snapshotted(id_, state, attempts, event)
    if state is None:
        if not isinstance(event, Requested):
            return None  # without its first event a log has no recipe
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
            tries_from=event.at,
            until=event.until,
            ceiling=event.ceiling,
            approved=event.approved,
            stop_after_idle=event.stop_after_idle,
            hours=event.hours,
            keys=(Key(id=FIRST_KEY, user=event.place.user, issued_at=event.at),),
        )
    state = replace(state, version=Version(state.version + 1), updated_at=event.at or state.updated_at)
    if isinstance(event, NewerEvent):
        return replace(state, newer=state.newer or event.type)
    return _with(state, attempts, event)


def _snapshotted(id_: DeploymentId, before: Deployment | None, attempts: WorkingSet, event: Snapshotted) -> Deployment:
    """The state of a snapshot. One that cannot be read is ignored where the events before it are known."""
    try:
        state = _decode(event.state)
    except MsgspecError as error:
        if before is None or before.version + 1 != event.version:
            raise UnreadableLog(id_) from error
        return replace(before, version=Version(before.version + 1))
    attempts.set(state.attempts)
    return replace(state, version=event.version, snapshot=event.version)


def _with(state: Deployment, attempts: WorkingSet, event: AnyEvent) -> Deployment:
    match event:
        case Requested() | Snapshotted():
            return state
        case (
            ScaleRequested()
            | Autoscaled()
            | KeyIssued()
            | KeyRevoked()
            | Shared()
            | Unshared()
            | EndScheduled()
            | ClockHeld()
            | StopRequested()
            | KeepTryingRequested()
        ):
            return _asked(state, attempts, event)
        case EndAnnounced():
            return _announced(state, event)
        case IdleNoticed():
            return replace(state, idle_noticed=event)
        case LadderPlanned():
            return _planned(state, attempts, event)
        case WeightsChecked():
            return replace(state, weights=event)
        case LaunchIntended():
            attempts.add(intended(event))
            return replace(state, exhausted=None)
        case ReplicasAbandoned():
            return replace(state, abandoned=event)
        case LadderExhausted():
            return replace(state, exhausted=event, dry_in_a_row=state.dry_in_a_row + 1)
        case EndpointPublished():
            return replace(state, endpoint=event)
        case TestCompletionAnswered() | TestCompletionFailed():
            return replace(state, test=event)
        case DeploymentEnded():
            attempts.change_all(lambda a: give_up(a, event.at, "the deployment ended"))
            return replace(state, ended=event)
        case _:
            return _with_attempt(state, attempts, event)


def _announced(state: Deployment, event: EndAnnounced) -> Deployment:
    match event.clock:
        case Clock.TIME:
            return replace(state, end_announced=event)
        case Clock.IDLE:
            return replace(state, idle_end=event)
        case Clock.HOURS:
            return replace(state, pause_announced=event)
        case _:
            assert_never(event.clock)


def _held(state: Deployment, event: ClockHeld) -> Deployment:
    match event.clock:
        case Clock.TIME:
            return replace(state, until=event.until)
        case Clock.IDLE:
            return replace(state, idle_end=None, idle_held=event)
        case Clock.HOURS:
            return replace(state, pause_announced=None, hours_held=event)
        case _:
            assert_never(event.clock)


def _scaled_by_clock(state: Deployment) -> Deployment:
    """The state in a pause, or after it."""
    return replace(state, paused=state.wanted if state.paused is None else None, pause_announced=None)


def _scaled_by_person(state: Deployment, event: ScaleRequested) -> Deployment:
    """A pause ends if a person scales: replicas that they add outside the hours run for HELD_FOR, paused or not."""
    if state.paused is None and not (event.replicas > state.wanted and _is_outside_hours(state, event.at)):
        return state
    until = event.at + HELD_FOR
    if event.replicas and (state.hours_held is None or state.hours_held.until < until):
        held = ClockHeld(event_id=event.event_id, at=event.at, clock=Clock.HOURS, until=until, by=event.by)
        state = _held(state, held)  # also withdraws the announcement of an earlier pause
    return replace(state, paused=None)


def _is_outside_hours(state: Deployment, at: datetime) -> bool:
    try:
        return bool(state.hours) and not is_open(hours_of(state.hours), at)
    except InvalidHours:  # a time zone that this process does not know: then it does not pause
        return False


def _planned(state: Deployment, attempts: WorkingSet, event: LadderPlanned) -> Deployment:
    left = state.left
    for attempt in attempts.leave(event.at, state.tries_from):
        left = with_attempt(left, attempt, event.at)
    state = replace(state, left=left, planned_at=event.at, exhausted=None)
    return state if event.as_before else replace(state, rungs=event.rungs, why_no_rungs=event.why_empty)


def _asked(state: Deployment, attempts: WorkingSet, event: Asked) -> Deployment:
    """The state after a request of a person or of autoscaling. A new `wanted` ends the pauses after a dry ladder."""
    match event:
        case ScaleRequested():
            ceiling = state.ceiling if event.ceiling is None else event.ceiling
            state = _scaled_by_person(state, event)
            state = replace(state, abandoned=None, tries_from=event.at, ceiling=ceiling)
            state = replace(state, approved=event.approved or state.approved)
            return replace(state, wanted=event.replicas, scaled=event, exhausted=None, dry_in_a_row=0)
        case Autoscaled():
            state = _scaled_by_clock(state) if event.clock is Clock.HOURS else state
            return replace(state, wanted=event.replicas, scaled=event, exhausted=None, dry_in_a_row=0)
        case KeyIssued():
            key = Key(id=event.key, user=event.user, issued_at=event.at)
            return replace(state, keys=(*(k for k in state.keys if k.id != key.id), key))
        case KeyRevoked():
            return replace(state, keys=tuple(k for k in state.keys if k.id != event.key))
        case Shared():
            return replace(state, co_owners=(*(o for o in state.co_owners if o != event.user), event.user))
        case Unshared():
            return replace(state, co_owners=tuple(o for o in state.co_owners if o != event.user))
        case EndScheduled():
            return replace(state, until=event.until, kept=event)
        case ClockHeld():
            return _held(state, event)
        case StopRequested():
            attempts.change_all(lambda a: give_up(a, event.at, "ended by request"))
            return replace(state, stopped_by=event.by, stopped_for=event.clock, wanted=0)
        case KeepTryingRequested():
            return replace(state, keep_trying=event)
        case _:
            assert_never(event)


def _with_attempt(state: Deployment, attempts: WorkingSet, event: Fact) -> Deployment:
    live, ready, stopping = attempts.live, attempts.ready, state.stopped_by is not None
    if isinstance(event, MachineCreated):
        if returned := attempts.returned(event):
            attempts.insert(returned)
        state = replace(state, dry_in_a_row=0)
    attempts.change(event.attempt, lambda a: apply(a, event, stopping=stopping))
    if live and not attempts.live:
        state = replace(state, exhausted=None, abandoned=None)
    if attempts.ready or not state.wanted:
        return replace(state, out_since=None) if state.out_since else state
    return replace(state, out_since=event.at) if ready else state
