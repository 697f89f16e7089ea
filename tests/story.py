"""Tells the life of a deployment event by event: for the gallery of views, and for tests."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from recipes.schema import Accelerator, Engine, Recipe, Resources
from workers.clouds.driver import Machine, MachineRequest, Refusal, Scope, Token
from workers.deployment.attempt import LIVE, Attempt
from workers.deployment.events import (
    AnyEvent,
    Autoscaled,
    DeploymentEnded,
    DeploymentId,
    EndpointPublished,
    EngineEnded,
    EngineProgressed,
    EventId,
    Failure,
    KeyId,
    KeyIssued,
    KeyNotEnforced,
    KeyRevoked,
    LadderExhausted,
    LadderPlanned,
    LaunchIntended,
    Limits,
    MachineCreated,
    MachineGone,
    OfferRefused,
    Place,
    ReplicaDraining,
    ReplicaGivenUp,
    ReplicaNotReady,
    ReplicaReady,
    ReplicasAbandoned,
    Requested,
    ScaleRequested,
    StopRequested,
    TestCompletionAnswered,
    TestCompletionFailed,
)
from workers.deployment.state import Deployment, fold
from workers.placement.offer import Offer, Rung
from workers.serving.boot import boot_of

BEGIN = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
GATEWAY = "http://gateway.example:8000"
PROMPT = "My favourite condiment is"

SMOLLM2 = Recipe(name="smollm2-135m", engine=Engine(kind="llamacpp", model="HuggingFaceTB/SmolLM2-135M-Instruct"))
MIXTRAL = Recipe(
    name="mixtral-8x7b",
    resources=(
        Resources(
            accelerators=(
                Accelerator(name="A100", count=4),
                Accelerator(name="A100", count=8),
                Accelerator(name="A100-80GB", count=2),
                Accelerator(name="A100-80GB", count=4),
                Accelerator(name="A100-80GB", count=8),
            )
        ),
    ),
    engine=Engine(kind="vllm", model="mistralai/Mixtral-8x7B-Instruct-v0.1"),
)


def offer(
    place: str,
    gpu: str = "",
    usd: str | None = "0",
    *,
    spot: bool = False,
    on_demand: str | None = None,
    region: str | None = None,
    doubtful: str | None = None,
) -> Offer:
    """An offer from words: `offer("gcp us-central1-a", "A100-80GB:2", "5.89")`, `offer("local")`."""
    cloud, _, zone = place.partition(" ")
    name, _, count = gpu.partition(":")
    region = region or zone.rsplit("-", 1)[0]
    kind = f"{cloud} {gpu}" if name else "cpu"
    return Offer(
        cloud=cloud,
        region=region if cloud != "local" else "local",
        zone=zone or "here",
        instance_type=kind,
        accelerator=name or None,
        count=int(count or 0),
        spot=spot,
        usd_per_hour=Decimal(usd) if usd is not None else None,
        on_demand_usd_per_hour=Decimal(on_demand) if on_demand is not None else None,
        doubtful=doubtful,
    )


HERE = offer("local")


class Story:
    """Each call appends what happened, at a clock that `wait` moves on; `state` is the fold of it all."""

    def __init__(
        self,
        name: str = "smollm2-135m",
        recipe: Recipe = SMOLLM2,
        *,
        replicas: int = 1,
        limits: Limits | None = None,
        id_: str = "d0123456789ab",
        at: datetime = BEGIN,
        place: Place | None = None,
    ) -> None:
        self.id = DeploymentId(id_)
        self.now = at
        self.events: list[AnyEvent] = []
        self._tell(
            Requested,
            name=name,
            recipe=recipe,
            replicas=replicas,
            place=place or Place(team="T0SANDBOX01", channel="C0GENERAL01", user="U0ROBIN0001"),
            limits=limits or Limits(),
        )

    @property
    def state(self) -> Deployment:
        state = fold(self.id, self.events)
        assert state is not None
        return state

    @property
    def scaling(self) -> ScaleRequested:
        """The last time that a person asked for another number."""
        return next(event for event in reversed(self.events) if isinstance(event, ScaleRequested))

    def wait(self, seconds: float) -> Self:
        self.now += timedelta(seconds=seconds)
        return self

    def planned(self, rungs: Sequence[Rung] | None = None) -> Self:
        """By default one rung: this machine."""
        return self._tell(LadderPlanned, rungs=tuple(rungs or [Rung(offer=HERE, usable=True)]))

    def asked(self, *offers: Offer) -> Self:
        number = len(self.state.attempts) + 1
        taken = {a.replica for a in self.state.attempts if a.phase in LIVE}
        request = MachineRequest(
            token=Token(f"{self.id}-{number}"),
            installation="i0",
            deployment=self.id,
            replica=next(n for n in range(1, number + 1) if n not in taken),
            attempt=number,
            offers=offers or (HERE,),
            boot=boot_of(self.state.recipe, self.state.name),
            expires_at=self.now + timedelta(days=1),
        )
        return self._tell(LaunchIntended, request=request)

    def refused(self, sentence: str, *, code: str = "ZONE_RESOURCE_POOL_EXHAUSTED", scope: Scope = Scope.ZONE) -> Self:
        last = self._last
        said = Refusal(
            offers=last.request.offers, sentence=sentence, code=code, scope=scope, lasts=timedelta(minutes=5)
        )
        return self._tell(OfferRefused, attempt=last.number, refusals=(said,))

    def created(self, address: str | None = None) -> Self:
        last = self._last
        machine = Machine(
            token=last.request.token,
            id=f"mixtral-{last.request.token}",
            cloud=last.offer.cloud,
            offer=last.offer,
            address=address or f"http://127.0.0.1:{41000 + last.number}",
            created_at=self.now,
        )
        return self._tell(MachineCreated, attempt=last.number, machine=machine)

    def progressed(self, progress: str) -> Self:
        return self._tell(EngineProgressed, attempt=self._last.number, progress=progress)

    def engine_ended(self, how: str, start: int, *, again: bool = True) -> Self:
        return self._tell(EngineEnded, attempt=self._last.number, how=how, start=start, again=again)

    def ready(self, attempt: int | None = None) -> Self:
        found = self._attempt(attempt)
        address = found.machine.address if found.machine else None
        return self._tell(ReplicaReady, attempt=found.number, address=address or "")

    def not_ready(self, why: str, attempt: int | None = None) -> Self:
        return self._tell(ReplicaNotReady, attempt=self._attempt(attempt).number, why=why)

    def given_up(self, why: str, attempt: int | None = None, *, failure: Failure | None = None) -> Self:
        return self._tell(ReplicaGivenUp, attempt=self._attempt(attempt).number, why=why, failure=failure)

    def gone(self, why: str, attempt: int | None = None, *, log: str = "", preempted: bool = False) -> Self:
        number = self._attempt(attempt).number
        return self._tell(MachineGone, attempt=number, why=why, log_tail=log, preempted=preempted)

    def published(self) -> Self:
        """The gateway opens the route."""
        return self._tell(EndpointPublished, url=GATEWAY)

    def open_to_all(self) -> Self:
        ready = self.state.ready[-1]
        return self._tell(KeyNotEnforced, attempt=ready.number, url=ready.address or "")

    def tested(self, text: str = " mustard. It goes with everything, and it keeps for years.") -> Self:
        return self._tell(TestCompletionAnswered, prompt=PROMPT, text=text, seconds=0.42)

    def test_failed(self, why: str) -> Self:
        return self._tell(TestCompletionFailed, prompt=PROMPT, why=why)

    def served(self) -> Self:
        """From nothing to ready, published and tested, on this machine."""
        told = self.planned().wait(0.2).asked().wait(0.3).created().wait(6.4).ready().wait(0.1).published()
        return told.wait(0.5).tested()

    def scaled(self, replicas: int, by: str = "U0ROBIN0001") -> Self:
        return self._tell(ScaleRequested, replicas=replicas, by=by)

    def moved(self, replicas: int, why: str) -> Self:
        """The load scales it."""
        return self._tell(Autoscaled, replicas=replicas, why=why)

    def draining(self, attempt: int | None = None, why: str = "scaled down") -> Self:
        return self._tell(ReplicaDraining, attempt=self._attempt(attempt).number, why=why)

    def abandoned(self, why: str) -> Self:
        return self._tell(ReplicasAbandoned, why=why)

    def key_issued(self, id_: str, user: str, by: str = "U0ROBIN0001") -> Self:
        return self._tell(KeyIssued, key=KeyId(id_), user=user, by=by)

    def key_revoked(self, id_: str, by: str = "U0ROBIN0001") -> Self:
        return self._tell(KeyRevoked, key=KeyId(id_), by=by)

    def stopped(self, by: str = "U0ROBIN0001") -> Self:
        return self._tell(StopRequested, by=by)

    def exhausted(self, why: str) -> Self:
        return self._tell(LadderExhausted, why=why)

    def ended(self, failed: str | None = None) -> Self:
        return self._tell(DeploymentEnded, failed=failed)

    @property
    def _last(self) -> Attempt:
        return self.state.attempts[-1]

    def _attempt(self, number: int | None) -> Attempt:
        return self._last if number is None else next(a for a in self.state.attempts if a.number == number)

    def _tell(self, event: Callable[..., AnyEvent], **what: Any) -> Self:
        stamp = {"event_id": EventId(f"e{len(self.events) + 1}"), "at": self.now}
        self.events.append(event(**stamp, **what))
        return self
