"""The processes of a worker on a real Valkey: what ends waits for no launch."""

import os
import signal
import sys
import time
from datetime import UTC, datetime

import pytest
from rq import Queue

from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.patience import PATIENCE
from tests.pool_of_jobs import GENERAL, PROCESSES, RESERVED, end, hang
from workers.api import Deployments
from workers.control.nudging import Nudger
from workers.deployment.condition import only_ends
from workers.deployment.events import Autoscaled, Clock
from workers.processes import Child, Children


@pytest.fixture
def pool(valkey_url, redis, tmp_path):
    children = Children()
    argv = (sys.executable, "-m", "tests.pool_of_jobs", valkey_url)
    children.start(Child(name="pool", argv=argv, env=dict(os.environ), log=tmp_path / "log"))
    yield children
    children.stop()


def until(reached):
    deadline = time.monotonic() + 20 * PATIENCE
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def next_end(redis, valkey_url):
    """The process that does the next job of the reserved queue. A nudge may be lost, and is repeated."""
    before, queue = redis.llen("ended"), Queue(RESERVED, connection=redis)

    def is_done():
        queue.enqueue(end, valkey_url)
        time.sleep(1)
        return redis.llen("ended") > before

    until(is_done)
    return int(redis.lindex("ended", -1))


@pytest.mark.usefixtures("pool")
def test_a_deployment_ends_while_launches_keep_all_other_processes_waiting(redis, valkey_url):
    launches = Queue(GENERAL, connection=redis)
    for _ in range(PROCESSES + 3):
        launches.enqueue(hang, valkey_url)
    until(lambda: redis.scard("hanging") == PROCESSES)
    reserve = next_end(redis, valkey_url)
    assert str(reserve).encode() not in redis.smembers("hanging")
    os.kill(reserve, signal.SIGKILL)
    assert next_end(redis, valkey_url) != reserve, "it is restarted"
    assert redis.scard("hanging") == PROCESSES, "the reserve takes no launch"


def test_what_wants_no_machine_any_more_is_nudged_by_its_own_queue(redis):
    launches, ends, now = [], [], datetime.now(UTC)
    requests, nudger = (
        Deployments(redis, launches.append, {}, nudge_end=ends.append),
        Nudger(launches.append, lambda: now, ends.append),
    )
    told = Story("fast", at=now).planned(offer("r-1", "7.20")).asked().created()
    append(redis, told)
    requests.scale(told.id, 2, by="U")
    nudger.look({told.id: requests.by_id(told.id)})
    assert (launches, ends) == ([told.id] * 2, [])
    requests.scale(told.id, 0, by="U")
    nudger.look({told.id: requests.by_id(told.id)})
    requests.stop(told.id, by="U")
    nudger.look({told.id: requests.by_id(told.id)})
    assert (launches, ends) == ([told.id] * 2, [told.id] * 4)


def test_what_pauses_outside_its_hours_is_resumed_by_the_queue_of_launches():
    told = Story("fast", hours="mon-fri 09:00-19:00 Europe/Paris").served()
    told.tell(Autoscaled, replicas=0, why="outside its hours", clock=Clock.HOURS)
    assert not told.state.wanted
    assert not only_ends(told.state)
    assert only_ends(told.stopped().state)
