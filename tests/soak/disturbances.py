"""What disturbs a soak: Slack, the clouds and the processes fail for a moment."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import RedisError

from tests.person import Person
from workers.clouds.driver import DriverError
from workers.deployment.events import DeploymentId, LaunchIntended
from workers.deployment.log import Log
from workers.deployment.state import fold
from workers.serving.boot import KEY_VARIABLE


class Disturbance(Struct, frozen=True, kw_only=True):
    name: str
    act: Callable[[Any, Person, Random], None]
    """Called with the line, a person, and the source of randomness."""


def of_slack() -> list[Disturbance]:
    posts = ("chat.postMessage", "chat.update", "views.open", "chat.postEphemeral")

    def fails(kind: str, **how: Any) -> Callable[[Any, Person, Random], None]:
        return lambda _, person, rng: person.fault(kind, method=rng.choice(posts), count=rng.randint(1, 3), **how)

    return [
        Disturbance(name="Slack drops the sockets", act=lambda _, person, __: person.fault("drop_socket", count=9)),
        Disturbance(name="Slack renews a socket", act=lambda _, person, __: person.fault("refresh_socket")),
        Disturbance(name="Slack answers 429", act=fails("rate_limited", seconds=1)),
        Disturbance(name="Slack answers 500", act=fails("http_500")),
        Disturbance(name="Slack's answers are late", act=fails("delay", seconds=1.5)),
        Disturbance(
            name="an answer of Slack is lost", act=lambda _, person, __: person.fault("drop_answer", method="chat.*")
        ),
        Disturbance(name="an ack is lost", act=lambda _, person, __: person.fault("lose_ack")),
    ]


REFUSALS = {
    "aws": ("InsufficientInstanceCapacity", "VcpuLimitExceeded", "RequestLimitExceeded", "InternalError"),
    "gcp": ("ZONE_RESOURCE_POOL_EXHAUSTED", "QUOTA_EXCEEDED", "429", "backendError"),
}
LAUNCH = {"aws": ("action", "CreateFleet"), "gcp": ("method", "*nsert")}
ANY_CALL = {
    "aws": ("action", ("DescribeInstances", "TerminateInstances", "CreateTags", "CreateLaunchTemplate")),
    "gcp": ("method", ("instances.aggregatedList", "instances.delete", "operations.wait", "instances.setMetadata")),
}


def of_clouds() -> list[Disturbance]:
    def refuses(line: Any, _: Person, rng: Random) -> None:
        cloud = rng.choice(("aws", "gcp"))
        line.fault(cloud, code=rng.choice(REFUSALS[cloud]), times=rng.randint(1, 2))

    def loses_a_launch(line: Any, _: Person, rng: Random) -> None:
        cloud = rng.choice(("aws", "gcp"))
        field, call = LAUNCH[cloud]
        line.fault(cloud, code="lost", times=rng.randint(1, 2), **{field: call})

    def loses_an_answer(line: Any, _: Person, rng: Random) -> None:
        cloud = rng.choice(("aws", "gcp"))
        field, calls = ANY_CALL[cloud]
        line.fault(cloud, code="lost", times=1, **{field: rng.choice(calls)})

    def is_slow(line: Any, _: Person, rng: Random) -> None:
        cloud = rng.choice(("aws", "gcp"))
        field, calls = ANY_CALL[cloud]
        line.fault(cloud, code="slow", seconds=3.0, times=2, **{field: rng.choice((*calls, LAUNCH[cloud][1]))})

    def takes_a_machine(line: Any, _: Person, rng: Random) -> None:
        if there := line.machines():
            with contextlib.suppress(httpx.HTTPStatusError):  # it has ended meanwhile
                line.end(rng.choice(there).machine, rng.choice(("preempt", "delete")))

    def launches_late(line: Any, _: Person, rng: Random) -> None:
        """GCE makes a machine for an attempt that has ended, as after its memory of the call's id."""
        if all(sighting.machine.cloud != "gcp" for sighting in line.machines()):
            return  # it would be listed every five minutes only
        log, ended = Log(line.redis()), []
        for key in rng.sample(keys := sorted(line.redis().scan_iter("mixtral:d:*")), min(5, len(keys))):
            id_ = DeploymentId(key.decode().rpartition(":")[2])
            events = log.read(id_)
            live = {attempt.request.token for attempt in fold(id_, events).live}
            asked = [event.request for event in events if isinstance(event, LaunchIntended)]
            ended += [one for one in asked if one.offers[0].cloud == "gcp" and one.token not in live]
        if ended:
            with contextlib.suppress(DriverError):
                late = rng.choice(ended)
                one_zone = replace(late, offers=late.offers[-1:])  # has another id at GCE than all zones together
                line.drivers["gcp"].create(one_zone, {KEY_VARIABLE: "of-another-time"})

    def unless_away(act: Callable[[Any, Person, Random], None]) -> Callable[[Any, Person, Random], None]:
        def acts(line: Any, person: Person, rng: Random) -> None:
            with contextlib.suppress(RedisError):  # Valkey has just been killed
                act(line, person, rng)

        return acts

    return [
        Disturbance(name="a launch call arrives late", act=unless_away(launches_late)),
        Disturbance(name="a cloud refuses launches", act=refuses),
        Disturbance(name="the answer to a launch is lost", act=loses_a_launch),
        Disturbance(name="another answer of a cloud is lost", act=loses_an_answer),
        Disturbance(name="a cloud is slow", act=is_slow),
        Disturbance(name="a cloud takes a machine", act=takes_a_machine),
    ]


def of_processes() -> list[Disturbance]:
    """Those that leave the long-lived processes as old as they are."""

    def engine(line: Any, _: Person, rng: Random) -> None:
        # One that boots or ends has no address; the engine of one that has an address may not have started.
        if there := [sighting.machine for sighting in line.machines() if sighting.machine.address]:
            with contextlib.suppress(AssertionError):
                line.kill_engine(rng.choice(there))

    return [
        Disturbance(name="SIGKILL of Valkey", act=lambda line, _, __: kill(line.children.pid("valkey"))),
        Disturbance(name="SIGKILL of an engine", act=engine),
        Disturbance(name="SIGKILL of a job", act=lambda line, _, rng: kill(_job(line, rng))),
    ]


def of_long_lived_processes() -> list[Disturbance]:
    def child(name: str) -> Callable[[Any, Person, Random], None]:
        return lambda line, _, __: kill(line.children.pid(name))

    def haproxy(line: Any, _: Person, rng: Random) -> None:
        kill(_one(descendants(line.children.pid("gateway")), rng))

    def of_worker(line: Any, _: Person, rng: Random) -> None:
        kill(_one(descendants(line.children.pid("worker")), rng))

    return [
        Disturbance(name="SIGKILL of the bot", act=child("bot")),
        Disturbance(name="SIGKILL of the worker", act=child("worker")),
        Disturbance(name="SIGKILL of a process of the worker", act=of_worker),
        Disturbance(name="SIGKILL of the gateway", act=child("gateway")),
        Disturbance(name="SIGKILL of HAProxy", act=haproxy),
    ]


def kill(pid: int) -> None:
    if pid > 1:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _job(line: Any, rng: Random) -> int:
    """A process that runs a job now: a grandchild of the worker; 0 if there is none."""
    return _one([job for worker in children(line.children.pid("worker")) for job in children(worker)], rng)


def _one(pids: list[int], rng: Random) -> int:
    """One of them; 0 if there is none, because their parent has just been restarted."""
    return rng.choice(pids) if pids else 0


def children(pid: int) -> list[int]:
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):  # children of each of its threads
        with contextlib.suppress(OSError):
            found += [int(word) for word in listed.read_text().split()]
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """The ids of all processes below a process."""
    return [each for child in children(pid) for each in (child, *descendants(child))]
