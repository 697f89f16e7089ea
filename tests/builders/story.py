"""Builds the log of a deployment, with one method per event."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from recipes.schema import Recipe
from tests.builders.events import BEGIN, PLACE, requested
from tests.builders.machines import machine, refusal, request
from tests.builders.offers import HERE, ladder, offer
from tests.builders.recipes import SMOLLM2
from workers.decision.next_step import Step, next_step
from workers.deployment.attempt import LIVE
from workers.deployment.events import (
    AnyEvent,
    Autoscaled,
    Clock,
    ClockHeld,
    Control,
    ControlLost,
    ControlRegained,
    DeploymentEnded,
    DeploymentId,
    EndAnnounced,
    EndpointPublished,
    EndScheduled,
    EngineEnded,
    EngineProgressed,
    EventId,
    Failure,
    IdleNoticed,
    KeyId,
    KeyIssued,
    KeyNotEnforced,
    KeyRevoked,
    LadderExhausted,
    LadderPlanned,
    LaunchIntended,
    MachineCreated,
    MachineGone,
    OfferRefused,
    Place,
    ReplicaDrained,
    ReplicaDraining,
    ReplicaGivenUp,
    ReplicaKept,
    ReplicaNotReady,
    ReplicaReady,
    ReplicasAbandoned,
    ScaleRequested,
    StopRequested,
    TestCompletionAnswered,
    TestCompletionFailed,
    WeightsChecked,
)
from workers.deployment.state import Deployment, fold
from workers.machines import BootPhase, BootReport, MachineRequest
from workers.placement.ladder import Rung
from workers.placement.limits import Limits
from workers.placement.offer import Offer
from workers.serving.boot import boot_of

GATEWAY = "http://gateway.example:8000"
PROMPT = "My favourite condiment is"
USER = PLACE.user


class Story:
    """Each method appends one event at `now` and returns the story. `wait` advances `now`; `state` is the fold.

    Where a method takes the number of an attempt, None is the newest.
    """

    tick: ClassVar = timedelta(0)
    """Time between two events."""
    usual: ClassVar[Offer] = HERE
    """The ladder, unless `planned` gives another."""

    def __init__(
        self,
        name: str = "smollm2-135m",
        recipe: Recipe = SMOLLM2,
        *,
        replicas: int = 1,
        limits: Limits | None = None,
        id_: str = "d0123456789ab",
        at: datetime = BEGIN,
        place: Place = PLACE,
        until: datetime | None = None,
        stop_after_idle: timedelta | None = None,
        hours: str = "",
        events: Iterable[AnyEvent] = (),
    ) -> None:
        """A requested deployment; or, with `events`, one with this log, whose first event has the recipe."""
        self.id = DeploymentId(id_)
        self.now = at
        self.events = list(events)
        self._state: Deployment | None = None
        self._folded = 0
        if not self.events:
            asked = {"replicas": replicas, "limits": limits or Limits(), "place": place, "until": until}
            clocks = {"stop_after_idle": stop_after_idle, "hours": hours}
            self.tell(requested, name=name, recipe=recipe, **asked, **clocks)

    @property
    def state(self) -> Deployment:
        self._state = fold(self.id, self.events[self._folded :], onto=self._state)
        self._folded = len(self.events)
        assert self._state is not None
        return self._state

    @property
    def step(self) -> Step:
        """The next step at this time."""
        return next_step(self.state, self.now)

    @property
    def scaling(self) -> ScaleRequested:
        """The newest ScaleRequested."""
        return next(event for event in reversed(self.events) if isinstance(event, ScaleRequested))

    def tell(self, event: Callable[..., AnyEvent], **fields: Any) -> Self:
        """Append any event. Its id and time are filled in."""
        self.now += self.tick
        self.events.append(event(event_id=EventId(f"e{len(self.events) + 1}"), at=self.now, **fields))
        return self

    def wait(self, seconds: float = 0, **duration: float) -> Self:
        """Advance the time: `wait(5)`, `wait(minutes=10)`."""
        self.now += timedelta(seconds=seconds, **duration)
        return self

    def planned(self, *rungs: Offer | Rung) -> Self:
        """Plan a ladder. An offer becomes a usable rung."""
        found = (ladder(one)[0] if isinstance(one, Offer) else one for one in rungs or (self.usual,))
        return self.tell(LadderPlanned, rungs=tuple(found))

    def weights_checked(self, says: str = "") -> Self:
        """Append what the hub says about the recipe's weights."""
        model = boot_of(self.state.recipe, self.state.name).model
        return self.tell(WeightsChecked, model=model, says=says)

    def asked(self, *offers: Offer, attempt: int | None = None, replica: int | None = None) -> Self:
        """Append the next attempt's intent: for the first free replica number and usable rung, unless given."""
        state = self.state
        rung = next((rung.offer for rung in state.rungs if rung.usable), self.usual)
        number = attempt or (self._number(None) + 1 if state.attempts else 1)
        taken = {a.replica for a in state.attempts if a.phase in LIVE}
        asked = request(
            f"{self.id}-{number}",
            offers or (rung,),
            deployment=self.id,
            replica=replica or next(n for n in range(1, number + 1) if n not in taken),
            attempt=number,
            boot=boot_of(state.recipe, state.name),
            expires_at=self.now + timedelta(days=1),
        )
        return self.tell(LaunchIntended, request=asked)

    def refused(self, sentence: str = "no capacity", attempt: int | None = None, **more: Any) -> Self:
        """Refuse all offers of the attempt; `more` are fields of Refusal."""
        said = refusal(self._request(attempt).offers, sentence, **more)
        return self.tell(OfferRefused, attempt=self._number(attempt), refusals=(said,))

    def created(self, address: str | None = None, attempt: int | None = None) -> Self:
        number = self._number(attempt)
        address = address or f"http://127.0.0.1:{41000 + number}"
        made = machine(self._request(attempt), address=address, created_at=self.now)
        return self.tell(MachineCreated, attempt=number, machine=made)

    def progressed(self, progress: str, phase: BootPhase | None = None, done: int = 0, total: int = 0) -> Self:
        boot = BootReport(phase=phase, done=done, total=total) if phase else None
        return self.tell(EngineProgressed, attempt=self._number(None), progress=progress, boot=boot)

    def engine_ended(
        self, how: str = "vllm exited with status 1", start: int = 1, attempt: int | None = None, *, again: bool = True
    ) -> Self:
        return self.tell(EngineEnded, attempt=self._number(attempt), how=how, start=start, again=again)

    def ready(self, attempt: int | None = None) -> Self:
        number = self._number(attempt)
        machines = (a.machine for a in self.state.attempts if a.number == number)
        address = next((m.address for m in machines if m is not None), None)
        return self.tell(ReplicaReady, attempt=number, address=address or "")

    def not_ready(self, why: str = "timeout", attempt: int | None = None) -> Self:
        return self.tell(ReplicaNotReady, attempt=self._number(attempt), why=why)

    def given_up(self, why: str = "scaled down", attempt: int | None = None, failure: Failure | None = None) -> Self:
        return self.tell(ReplicaGivenUp, attempt=self._number(attempt), why=why, failure=failure)

    def gone(
        self,
        why: str = "engine exited with status 1",
        attempt: int | None = None,
        *,
        log: str = "",
        preempted: bool = False,
    ) -> Self:
        return self.tell(MachineGone, attempt=self._number(attempt), why=why, log_tail=log, preempted=preempted)

    def control_lost(self, what: Control, why: str, since: datetime | None = None, attempt: int | None = None) -> Self:
        at = since or self.now
        return self.tell(ControlLost, attempt=self._number(attempt), what=what, since=at, why=why)

    def control_regained(self, what: Control, attempt: int | None = None) -> Self:
        return self.tell(ControlRegained, attempt=self._number(attempt), what=what)

    def published(self, url: str = GATEWAY) -> Self:
        """Append the gateway's route."""
        return self.tell(EndpointPublished, url=url)

    def open_to_all(self) -> Self:
        ready = self.state.ready[-1]
        return self.tell(KeyNotEnforced, attempt=ready.number, url=ready.address or "")

    def tested(self, text: str = " mustard. It goes with everything, and it keeps for years.") -> Self:
        return self.tell(TestCompletionAnswered, prompt=PROMPT, text=text, seconds=0.42)

    def test_failed(self, why: str) -> Self:
        return self.tell(TestCompletionFailed, prompt=PROMPT, why=why)

    def served(self) -> Self:
        """From the request to ready, published and tested, on a default machine."""
        told = self.planned().wait(0.2).asked().wait(0.3).created().wait(6.4).ready().wait(0.1).published()
        return told.wait(0.5).tested()

    def answers_at(self, url: str) -> Self:
        """One ready replica at `url`, which is also the endpoint."""
        return self.planned().asked().created(url).ready().published(url)

    def scaled(self, replicas: int, by: str = USER) -> Self:
        return self.tell(ScaleRequested, replicas=replicas, by=by)

    def moved(self, replicas: int, why: str = "the load") -> Self:
        """The autoscaler sets the number of replicas."""
        return self.tell(Autoscaled, replicas=replicas, why=why)

    def paused(self, why: str = "its hours are over") -> Self:
        return self.tell(Autoscaled, replicas=0, why=why, clock=Clock.HOURS)

    def resumed(self, replicas: int = 1, why: str = "its hours begin") -> Self:
        return self.tell(Autoscaled, replicas=replicas, why=why, clock=Clock.HOURS)

    def draining(self, attempt: int | None = None, why: str = "scaled down") -> Self:
        return self.tell(ReplicaDraining, attempt=self._number(attempt), why=why)

    def drained(self, attempt: int | None = None) -> Self:
        return self.tell(ReplicaDrained, attempt=self._number(attempt))

    def kept(self, attempt: int | None = None) -> Self:
        return self.tell(ReplicaKept, attempt=self._number(attempt))

    def abandoned(self, why: str = "they crash") -> Self:
        return self.tell(ReplicasAbandoned, why=why)

    def key_issued(self, id_: str, user: str, by: str = USER) -> Self:
        return self.tell(KeyIssued, key=KeyId(id_), user=user, by=by)

    def key_revoked(self, id_: str, by: str = USER) -> Self:
        return self.tell(KeyRevoked, key=KeyId(id_), by=by)

    def announced(self, until: datetime, clock: Clock = Clock.TIME, idle_since: datetime | None = None) -> Self:
        """The announcement of its end, or of its pause."""
        return self.tell(EndAnnounced, until=until, clock=clock, idle_since=idle_since)

    def held(self, clock: Clock, until: datetime, by: str = "", why: str = "") -> Self:
        return self.tell(ClockHeld, clock=clock, until=until, by=by, why=why)

    def noticed_idle(self, since: datetime) -> Self:
        return self.tell(IdleNoticed, since=since)

    def kept_until(self, until: datetime, by: str = USER) -> Self:
        return self.tell(EndScheduled, until=until, by=by)

    def stopped(self, by: str = USER, clock: Clock = Clock.TIME) -> Self:
        return self.tell(StopRequested, by=by, clock=clock)

    def exhausted(self, why: str = "dry") -> Self:
        return self.tell(LadderExhausted, why=why)

    def ended(self, failed: str | None = None) -> Self:
        return self.tell(DeploymentEnded, failed=failed)

    def _number(self, attempt: int | None) -> int:
        return self.state.attempts[-1].number if attempt is None else attempt

    def _request(self, attempt: int | None) -> MachineRequest:
        number = self._number(attempt)
        return next(a.request for a in self.state.attempts if a.number == number)


class Timeline(Story):
    """A story on a cloud, with one second between events, as in the control loop."""

    tick = timedelta(seconds=1)
    usual = offer()
