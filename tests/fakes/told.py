"""Tells what happens to one deployment, an event after the other, for tests of the decision."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from recipes.schema import Engine, Recipe
from workers.clouds.driver import Machine, MachineRequest, Refusal, Scope, Token
from workers.deployment.events import (
    DeploymentId,
    EndpointPublished,
    EngineEnded,
    EventId,
    LadderPlanned,
    LaunchIntended,
    Limits,
    MachineCreated,
    MachineGone,
    OfferRefused,
    Place,
    ReplicaReady,
    Requested,
    TestCompletionAnswered,
)
from workers.deployment.next_step import next_step
from workers.deployment.state import fold
from workers.placement.offer import Offer, Rung
from workers.serving.boot import boot_of

ID = DeploymentId("d1")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
RECIPE = Recipe(name="tiny", engine=Engine(kind="scripted", model="m"))


def offer(zone="z1", price="1", cloud="gcp"):
    return Offer(
        cloud=cloud,
        region="r",
        zone=zone,
        instance_type="t",
        accelerator="A100",
        count=1,
        spot=False,
        usd_per_hour=Decimal(price),
    )


class Story:
    """Tells events one after another, a second apart."""

    def __init__(self, replicas=1):
        self.now = NOON
        self.events = []
        self._state, self._folded = None, 0
        self.tell(
            Requested,
            name="m",
            recipe=RECIPE,
            replicas=replicas,
            place=Place(team="T", channel="C", user="U"),
            limits=Limits(),
        )

    def tell(self, kind, **fields):
        self.now += timedelta(seconds=1)
        self.events.append(kind(event_id=EventId(str(len(self.events))), at=self.now, **fields))
        return self

    def planned(self, *offers):
        return self.tell(LadderPlanned, rungs=tuple(Rung(offer=o, usable=True) for o in offers or (offer(),)))

    def intended(self, attempt=1, replica=1, an_offer=None):
        request = MachineRequest(
            token=Token(f"d1-{attempt}"),
            installation="i",
            deployment=ID,
            replica=replica,
            attempt=attempt,
            offers=(an_offer or offer(),),
            boot=boot_of(RECIPE, "m"),
            expires_at=NOON + timedelta(days=1),
        )
        return self.tell(LaunchIntended, request=request)

    def created(self, attempt=1, an_offer=None):
        machine = Machine(
            token=Token(f"d1-{attempt}"),
            id=f"machine-{attempt}",
            cloud="gcp",
            offer=an_offer or offer(),
            address=f"http://h:{attempt}",
            created_at=self.now,
        )
        return self.tell(MachineCreated, attempt=attempt, machine=machine)

    def ready(self, attempt=1):
        return self.tell(ReplicaReady, attempt=attempt, address=f"http://h:{attempt}")

    def served(self):
        self.planned().intended().created().ready()
        self.tell(EndpointPublished, url="http://h:1")
        return self.tell(TestCompletionAnswered, prompt="p", text="t", seconds=0.1)

    def engine_ended(self, attempt=1, start=1, *, again=True):
        return self.tell(EngineEnded, attempt=attempt, how="vllm exited with status 1", start=start, again=again)

    def gone(self, attempt=1, why="engine exited with status 1"):
        return self.tell(MachineGone, attempt=attempt, why=why)

    def refused(self, attempt=1, scope=Scope.ZONE, an_offer=None):
        said = Refusal(
            offers=(an_offer or offer(),), sentence="no capacity", code="X", scope=scope, lasts=timedelta(minutes=5)
        )
        return self.tell(OfferRefused, attempt=attempt, refusals=(said,))

    def wait(self, **duration):
        self.now += timedelta(**duration)
        return self

    @property
    def state(self):
        self._state = fold(ID, self.events[self._folded :], onto=self._state)
        self._folded = len(self.events)
        return self._state

    @property
    def step(self):
        return next_step(self.state, self.now)
