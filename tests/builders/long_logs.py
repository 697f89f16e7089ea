"""Long logs, written by the decision itself: a ladder that stays dry, and replicas that are lost again and again."""

import random
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from recipes.loader import find, load
from recipes.schema import Recipe
from tests.builders.events import BEGIN, requested
from tests.builders.machines import INSTALLATION, machine, refusal
from tests.builders.offers import ladder, offer
from workers.decision.next_step import (
    Abandon,
    Create,
    Drain,
    EndDeployment,
    Exhaust,
    GiveUp,
    Keep,
    LaunchReplica,
    PlanLadder,
    Step,
    Terminate,
    Wait,
    next_step,
)
from workers.decision.retry_policy import MAX_PAUSE
from workers.deployment.attempt import MAY_COST, Phase
from workers.deployment.events import (
    AnyEvent,
    DeploymentEnded,
    DeploymentId,
    EndpointPublished,
    EventId,
    KeepTryingRequested,
    LadderExhausted,
    LadderPlanned,
    LaunchIntended,
    MachineCreated,
    MachineGone,
    OfferRefused,
    ReplicaDraining,
    ReplicaGivenUp,
    ReplicaKept,
    ReplicaReady,
    ReplicasAbandoned,
    ScaleRequested,
    TestCompletionAnswered,
)
from workers.deployment.log import Stamp
from workers.deployment.state import Deployment, fold
from workers.machines import MachineRequest, Token
from workers.placement.ladder import Rung
from workers.placement.refusals import Refusal, Scope
from workers.serving.boot import boot_of

ID = DeploymentId("d0123456789ab")
MACHINE_LEASE = timedelta(hours=24)
A_CALL = timedelta(seconds=2)
DECIDED = timedelta(minutes=100)
"""Time for which the decision is asked about each step of a dry ladder. The climbs after it are like the last one."""

ZONES = 52
"""Number of zones, and so of launch calls in one climb of the ladder."""

RUNGS = ladder(*(offer(f"gcp region{n}-a", Decimal(20) + n) for n in range(ZONES)))

Answer = Callable[[MachineRequest], Refusal | None]


def no_stock(request: MachineRequest) -> Refusal:
    """What Google Cloud answers if it has no GPU in the zone."""
    said = f"The zone {request.offers[0].zone} has no free A100 at this time"
    return refusal(request.offers, said, scope=Scope.ZONE, lasts=timedelta(minutes=5))


def again(event: AnyEvent, later: timedelta, number: int) -> AnyEvent:
    """An event of a climb as an event of a later one."""
    moved = {"event_id": EventId(secrets.token_hex(8)), "at": event.at + later}
    match event:
        case LaunchIntended(request=old):
            attempt, expires_at = old.attempt + number, old.expires_at + later
            token = Token(f"{ID}-{attempt}-{secrets.token_hex(2)}")
            return replace(event, **moved, request=replace(old, token=token, attempt=attempt, expires_at=expires_at))
        case OfferRefused():
            return replace(event, **moved, attempt=event.attempt + number)
        case _:
            return replace(event, **moved)


class LongLog:
    """A deployment of one replica whose events are those that the control loop would append."""

    def __init__(self, answer: Answer, recipe: Recipe | None = None, rungs: tuple[Rung, ...] = RUNGS) -> None:
        self._answer = answer
        self._rungs = rungs
        self.now = BEGIN
        self.recipe = recipe or load(find("mixtral-8x7b", ()), {})
        self.events: list[AnyEvent] = []
        self.silent: set[int] = set()
        """The attempts whose cloud does not answer."""
        self.state: Deployment | None = None
        self.append(requested("m", self.recipe, **self.stamp()))

    def stamp(self) -> Stamp:
        return Stamp(event_id=EventId(secrets.token_hex(8)), at=self.now)

    def append(self, *events: AnyEvent) -> None:
        self.events += events
        self.state = fold(ID, events, onto=self.state)

    def keep_trying(self, every: timedelta, until: datetime) -> None:
        self.append(KeepTryingRequested(**self.stamp(), by="U1", every=every, until=until))

    def step(self) -> Step:
        """Do one step as `Advance` does, at its usual speed; a wait is spent."""
        assert self.state is not None
        step = next_step(self.state, self.now, self.silent)
        self.append(*self._done(self.state, step))
        match step:
            case Create() | Terminate():
                self.now += A_CALL
            case Wait(until) if until is not None:
                self.now = max(until, self.now + timedelta(seconds=1))
        return step

    def until(self, end: datetime) -> None:
        while self.now < end:
            assert not isinstance(self.step(), EndDeployment)

    def repeat(self, every: timedelta, end: datetime) -> None:
        """Append the last climb again and again, as the decision would do: it is asked about the first climbs only."""
        last = max(n for n, event in enumerate(self.events) if isinstance(event, LadderExhausted))
        first = max(n for n, event in enumerate(self.events[:last]) if isinstance(event, LadderPlanned))
        climb = [event for event in self.events[first : last + 1] if not isinstance(event, KeepTryingRequested)]
        calls = sum(isinstance(event, LaunchIntended) for event in climb)
        took, times = climb[-1].at - climb[0].at, 0
        while self.events[-1].at + every + took < end:
            times += 1
            later = self.events[-1].at + every - climb[0].at
            self.events += [again(event, later, calls * times) for event in climb]
        self.now, self.state = self.events[-1].at, fold(ID, self.events)

    def _done(self, state: Deployment, step: Step) -> Iterator[AnyEvent]:
        match step:
            case PlanLadder() if state.planned_at is None:
                yield LadderPlanned(**self.stamp(), rungs=self._rungs)
            case PlanLadder():
                yield LadderPlanned(**self.stamp(), rungs=(), as_before=True)
            case LaunchReplica():
                yield LaunchIntended(**self.stamp(), request=self._request(state, step))
            case Create(attempt):
                if refused := self._answer(attempt.request):
                    yield OfferRefused(**self.stamp(), attempt=attempt.number, refusals=(refused,))
                else:
                    made = machine(attempt.request, created_at=self.now, address="http://10.0.0.1:8000")
                    yield MachineCreated(**self.stamp(), attempt=attempt.number, machine=made)
            case Exhaust(why):
                yield LadderExhausted(**self.stamp(), why=why)
            case GiveUp(number, why, failure):
                yield ReplicaGivenUp(**self.stamp(), attempt=number, why=why, failure=failure)
            case Drain(number, why, failure):
                yield ReplicaDraining(**self.stamp(), attempt=number, why=why, failure=failure)
            case Keep(number):
                yield ReplicaKept(**self.stamp(), attempt=number)
            case Abandon(why):
                yield ReplicasAbandoned(**self.stamp(), why=why)
            case EndDeployment(failed):
                yield DeploymentEnded(**self.stamp(), failed=failed)
            case Terminate(attempt):
                yield MachineGone(**self.stamp(), attempt=attempt.number, why=attempt.why)

    def _request(self, state: Deployment, step: LaunchReplica) -> MachineRequest:
        return MachineRequest(
            token=Token(f"{ID}-{step.attempt}-{secrets.token_hex(2)}"),
            installation=INSTALLATION,
            deployment=ID,
            replica=step.replica,
            attempt=step.attempt,
            offers=step.offers,
            boot=boot_of(state.recipe, state.name),
            expires_at=self.now + MACHINE_LEASE,
            boots_within=timedelta(minutes=20),
        )

    def make_ready(self) -> None:
        """The machine that starts is ready; the first time, the endpoint is published and tested."""
        assert self.state is not None
        starting = next(a for a in self.state.attempts if a.phase is Phase.STARTING)
        self.append(ReplicaReady(**self.stamp(), attempt=starting.number, address="http://10.0.0.1:8000"))
        if self.state.endpoint is None:
            self.append(
                EndpointPublished(**self.stamp(), url="http://models.example.com:8000"),
                TestCompletionAnswered(**self.stamp(), prompt="My favourite condiment is", text="mustard", seconds=1.0),
            )

    def lose(self, *, preempted: bool = False) -> None:
        assert self.state is not None
        ready = self.state.ready[0]
        why = "preempted" if preempted else "its machine ended"
        self.append(MachineGone(**self.stamp(), attempt=ready.number, why=why, preempted=preempted))


def dry_from_the_launch(lasting: timedelta, every: timedelta) -> LongLog:
    """A launch whose ladder is dry, and is tried again at this interval, as a person asked."""
    log = LongLog(no_stock)
    log.keep_trying(every, log.now + lasting)
    log.until(log.now + min(lasting, DECIDED))
    log.repeat(every, BEGIN + lasting)
    return log


def dry_after_a_loss(lasting: timedelta) -> LongLog:
    """A deployment that was ready, has lost its machine, and finds no other."""
    stock = [True]

    def answer(request: MachineRequest) -> Refusal | None:
        return None if stock[0] else no_stock(request)

    log = LongLog(answer)
    while log.state is None or not log.state.live or log.state.live[0].machine is None:
        log.step()
    log.now += timedelta(minutes=8)
    log.make_ready()
    stock[0] = False
    log.now += timedelta(hours=1)
    log.lose()
    log.until(log.now + min(lasting, DECIDED))
    log.repeat(MAX_PAUSE, BEGIN + lasting)
    return log


def lost_replicas(number: int, lived: timedelta = timedelta(hours=2)) -> LongLog:
    """A deployment that has lost this number of machines one after the other, each after it answered for a time."""
    log = LongLog(lambda _: None)
    for lost in range(number):
        while log.state is None or not any(a.phase is Phase.STARTING for a in log.state.attempts):
            log.step()
        log.now += timedelta(minutes=8)
        log.make_ready()
        log.now += lived
        log.lose(preempted=bool(lost % 2))
    return log


def wandering(seed: int, steps: int = 150) -> LongLog:
    """A deployment of days in which clouds refuse, machines are lost and late, and people scale, as chance has it."""
    chance = random.Random(seed)

    def answer(request: MachineRequest) -> Refusal | None:
        if chance.random() < 0.3:
            return None
        lasts = timedelta(minutes=chance.choice((1, 5, 60)))
        scope = chance.choice((Scope.ZONE, Scope.ZONE, Scope.REGION, Scope.BACK_OFF))
        return refusal(request.offers, f"no {scope.value}", code=scope.value, scope=scope, lasts=lasts)

    log = LongLog(answer, rungs=RUNGS[:6])
    log.append(ScaleRequested(**log.stamp(), replicas=chance.choice((1, 2, 3)), by="U1"))
    log.keep_trying(timedelta(minutes=10), log.now + timedelta(days=60))
    for _ in range(steps):
        assert log.state is not None
        if log.state.ended:
            break
        log.step()
        _happens(log, log.state, chance)
    return log


def _happens(log: LongLog, state: Deployment, chance: random.Random) -> None:
    """Perhaps something that no step decides."""
    starting = [a for a in state.attempts if a.phase is Phase.STARTING]
    refused = [a for a in state.attempts if a.phase is Phase.REFUSED]
    match chance.randrange(9):
        case 0 | 1 | 2 if starting:
            log.now += timedelta(minutes=5)
            log.make_ready()
        case 3 if state.ready:
            log.lose(preempted=chance.random() < 0.5)
        case 4:
            log.now += timedelta(minutes=chance.choice((1, 40, 200, 1500)))
        case 5 if refused and chance.random() < 0.1:  # the answer of a rival worker
            late = chance.choice(refused)
            made = machine(late.request, created_at=log.now)
            log.append(MachineCreated(**log.stamp(), attempt=late.number, machine=made))
        case 6:  # its cloud begins to confirm no end, or does so again
            log.silent ^= {a.number for a in state.attempts if a.phase in MAY_COST}
        case 7 if chance.random() < 0.2:
            log.append(ScaleRequested(**log.stamp(), replicas=chance.choice((0, 1, 2, 3)), by="U1"))
