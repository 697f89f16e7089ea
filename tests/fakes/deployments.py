"""Deployments in any standing, told by the events that led there."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from msgspec.structs import replace

from recipes.schema import Engine, Recipe, ReplicaPolicy, Service
from workers.clouds.driver import Machine, MachineRequest, Token
from workers.deployment.events import (
    DeploymentEnded,
    DeploymentId,
    EndpointPublished,
    LaunchIntended,
    Limits,
    MachineCreated,
    Place,
    ReplicaNotReady,
    ReplicaReady,
    Requested,
)
from workers.deployment.keys import new_key
from workers.deployment.log import Log, new_event_id, new_id
from workers.deployment.state import fold
from workers.placement.offer import Offer
from workers.serving.boot import boot_of

RECIPE = Recipe(name="scripted", engine=Engine(kind="scripted", model="scripted"))
OFFER = Offer(
    cloud="local",
    region="here",
    zone="here",
    instance_type="process",
    accelerator=None,
    count=0,
    spot=False,
    usd_per_hour=Decimal(0),
)


def requested(name, channel="C0HERE", recipe=RECIPE):
    return Requested(
        event_id=new_event_id(),
        at=datetime.now(UTC),
        name=name,
        recipe=recipe,
        replicas=1,
        place=Place(team="T1", channel=channel, user="U1"),
        limits=Limits(),
    )


def a_replica(id_, name, url, number=1):
    now = datetime.now(UTC)
    stamp = {"at": now}
    request = MachineRequest(
        token=Token(f"{id_}-{number}"),
        installation="i",
        deployment=id_,
        replica=number,
        attempt=number,
        offers=(OFFER,),
        boot=boot_of(RECIPE, name),
        expires_at=now + timedelta(hours=1),
    )
    machine = Machine(token=request.token, id=f"m{number}", cloud="local", offer=OFFER, address=url, created_at=now)
    return [
        LaunchIntended(event_id=new_event_id(), request=request, **stamp),
        MachineCreated(event_id=new_event_id(), attempt=number, machine=machine, **stamp),
        ReplicaReady(event_id=new_event_id(), attempt=number, address=url, **stamp),
    ]


def until_it_answers(id_, name, url):
    published = EndpointPublished(event_id=new_event_id(), at=datetime.now(UTC), url=url)
    return [*a_replica(id_, name, url), published]


def starting(name, channel="C0HERE"):
    return fold(new_id(), [requested(name, channel)])


def answering(name, channel="C0HERE", url="http://127.0.0.1:1"):
    state = starting(name, channel)
    return fold(state.id, until_it_answers(state.id, name, url), onto=state)


def ended(name, *, at, failed=None):
    state = starting(name)
    return fold(state.id, [DeploymentEnded(event_id=new_event_id(), at=at, failed=failed)], onto=state)


def scaled_by(**policy):
    """The recipe, with what is to move its number of replicas."""
    return replace(RECIPE, service=Service(replica_policy=ReplicaPolicy(**policy)))


class Shelf:
    """Puts deployments into a log, where the bot finds them."""

    def __init__(self, redis):
        self._log = Log(redis)

    def start(self, name, channel="C0HERE", recipe=RECIPE) -> DeploymentId:
        return self._log.open(new_id(), requested(name, channel, recipe), new_key(), new_event_id())

    def answer_at(self, id_, name, url):
        self.append(id_, until_it_answers(id_, name, url))

    def add_replica(self, id_, name, url, number):
        self.append(id_, a_replica(id_, name, url, number))

    def publish(self, id_, url):
        """The gateway opens the route, or another one."""
        self.append(id_, [EndpointPublished(event_id=new_event_id(), at=datetime.now(UTC), url=url)])

    def fail_probe(self, id_, number=1):
        failed = ReplicaNotReady(event_id=new_event_id(), at=datetime.now(UTC), attempt=number, why="no answer")
        self.append(id_, [failed])

    def append(self, id_, events):
        assert self._log.append(id_, self._log.version(id_), events)

    def put(self, name, url, channel="C0HERE", recipe=RECIPE) -> DeploymentId:
        id_ = self.start(name, channel, recipe)
        self.answer_at(id_, name, url)
        return id_

    def end(self, id_, failed=None):
        state = fold(id_, self._log.read(id_), None)
        event = DeploymentEnded(event_id=new_event_id(), at=datetime.now(UTC), failed=failed)
        assert self._log.close(id_, state.name, state.version, event)
