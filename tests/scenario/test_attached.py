"""HAProxy beside the gateway, as docker-compose starts it: either may end at any time, and the other goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders.events import KEY
from tests.builders.logs import append
from tests.builders.story import Story
from tests.composed import SERVICES, composed_haproxy
from tests.fakes.haproxy import Gateway, GatewayDown, Replica, connects, wait_for
from tests.patience import PATIENCE
from workers.deployment.events import (
    FIRST_KEY,
    EndpointPublished,
    KeyIssued,
    KeyRevoked,
    ReplicaDrained,
    ReplicaDraining,
    ReplicaReady,
)
from workers.deployment.keys import new_key, new_key_id
from workers.deployment.log import Log, stamp
from workers.processes import Child, Children
from workers.sandbox.valkey import free_port


class Attached(Gateway):
    """HAProxy and the gateway as two services on one folder, and a log that says what they are to do."""

    def __init__(self, folder, home, redis, redis_url):
        super().__init__(folder)
        self.log = Log(redis)
        self.story = Story(replicas=2)
        self.gateways = Children()
        self.env = {
            "PATH": os.environ["PATH"],
            "REDIS_URL": redis_url,
            "MIXTRAL_HOME": str(home),
            "MIXTRAL_HAPROXY": "attached",
            "MIXTRAL_GATEWAY_FOLDER": str(folder),
            "MIXTRAL_GATEWAY_BIND": f"127.0.0.1:{self.port}",
            "MIXTRAL_GATEWAY_BACKENDS": "4",
        }
        self.logs = home

    def start_haproxy(self):
        self.children.start(composed_haproxy(self.folder, self.logs / "haproxy.log"))

    def start_gateway(self):
        argv = (sys.executable, "-m", "bot.cli", "gateway")
        self.gateways.start(Child(name="gateway", argv=argv, env=self.env, log=self.logs / "gateway.log"))

    def end_gateway(self, number):
        """By a signal; returns once it is gone."""
        os.kill(self.gateways.pid("gateway"), number)
        self.gateways.stop(grace=20)

    def has_old_processes(self):
        try:
            return bool(self.haproxy.actual().older)
        except GatewayDown:  # amid a reload
            return False

    def has(self, kind):
        return any(isinstance(event, kind) for event in self.log.read(self.story.id))

    def tell(self, kind, **fields):
        self.log.record(self.story.id, self.log.version(self.story.id), [kind(**stamp(datetime.now(UTC)), **fields)])

    def everybody(self, times=12):
        return {self.who(KEY) for _ in range(times)}

    def stop(self):
        self.gateways.stop()
        super().stop()


@pytest.fixture
def replicas():
    with ExitStack() as ends:
        started = []
        for name in ("r1", "r2", "r3"):
            started.append(Replica(name))
            ends.callback(started[-1].end)
        yield started


@pytest.fixture
def attached(tmp_path, redis, valkey_url, replicas):
    """Two replicas behind both; a third is there and not told of."""
    folder = Path(tempfile.mkdtemp(prefix="gw-"))  # short: sockets live in it
    attached = Attached(folder, tmp_path, redis, valkey_url)
    story = attached.story.planned()
    for replica in replicas[:2]:
        story.asked().created(f"http://{replica.address}").ready()
    append(redis, story)
    try:
        attached.start_haproxy()
        attached.start_gateway()
        wait_for(lambda: attached.has(EndpointPublished), "the gateway has opened the route")
        wait_for(lambda: attached.everybody() == {"r1", "r2"}, "both replicas answer")
        yield attached
    finally:
        attached.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_gateway_that_ends_cuts_no_stream_and_keeps_nobody_out(attached, number):
    with attached.stream(KEY, chunks=40) as seen:
        attached.end_gateway(number)
        assert attached.everybody() <= {"r1", "r2"}
    assert seen[-1] == "whole"
    assert attached.ask("wrong")[0] == 401


def test_what_happens_while_the_gateway_is_away_counts_as_soon_as_it_is_back(attached, replicas):
    attached.end_gateway(signal.SIGKILL)
    theirs = new_key()
    issued = KeyIssued(**stamp(datetime.now(UTC)), key=new_key_id(), user="U1", by="U1")
    assert attached.log.issue(attached.story.id, attached.log.version(attached.story.id), issued, theirs)
    attached.log.revoke(
        attached.story.id,
        attached.log.version(attached.story.id),
        KeyRevoked(**stamp(datetime.now(UTC)), key=FIRST_KEY, by="U1"),
    )
    third = attached.story.asked().created(f"http://{replicas[2].address}").events[-2:]
    attached.log.record(attached.story.id, attached.log.version(attached.story.id), third)
    attached.tell(ReplicaReady, attempt=3, address=f"http://{replicas[2].address}")
    attached.start_gateway()
    wait_for(lambda: attached.ask(theirs)[0] == 200, "the new key opens")
    assert attached.ask(KEY)[0] == 401
    wait_for(lambda: {attached.who(theirs) for _ in range(12)} == {"r1", "r2", "r3"}, "all three answer")


def test_a_replica_that_streams_from_before_a_takeover_is_drained_to_its_last_word(attached):
    with attached.stream(KEY, chunks=160) as seen:
        serving = {s.name for s in attached.haproxy.actual().servers if s.sessions}
        attached.end_gateway(signal.SIGKILL)
        attached.env["MIXTRAL_GATEWAY_BUFFER"] = "131072"  # of another shape it is reloaded
        attached.start_gateway()
        wait_for(lambda: attached.has_old_processes() or seen[-1] == "whole", "a new HAProxy process has taken over")
        attempt = int(serving.pop().removeprefix("r"))
        attached.tell(ReplicaDraining, attempt=attempt, why="scaled down")
        wait_for(lambda: attached.everybody() == {"r1", "r2"} - {f"r{attempt}"}, "it takes nothing new")
        while seen[-1] != "whole" and not attached.has(ReplicaDrained):
            assert seen[-1] != "cut short"
            time.sleep(0.05)
        left = 160 - len(seen)
    assert seen[-1] == "whole"
    assert left <= 10, "it was said to have drained amid its stream"
    wait_for(lambda: attached.has(ReplicaDrained), "it is said to have drained")


def test_a_gateway_that_comes_back_leaves_haproxy_as_it_is(attached):
    worker = attached.haproxy._cli.processes()
    attached.end_gateway(signal.SIGKILL)
    attached.start_gateway()
    attached.tell(ReplicaDraining, attempt=1, why="scaled down")
    wait_for(lambda: attached.has(ReplicaDrained), "it drives again")
    assert attached.haproxy._cli.processes() == worker


def test_haproxy_does_not_begin_with_a_table_of_long_ago(attached):
    attached.end_gateway(signal.SIGKILL)
    long_ago = time.time() - 120
    os.utime(attached.folder / "current", (long_ago, long_ago))
    os.kill(attached.master(), signal.SIGKILL)
    wait_for(lambda: not connects(attached.port), "nobody listens")
    time.sleep(1.2)
    attached.children.restart_the_dead()
    time.sleep(1.5)
    assert not connects(attached.port)
    attached.start_gateway()
    wait_for(lambda: connects(attached.port), "it has begun")
    assert attached.everybody() == {"r1", "r2"}


def test_a_second_gateway_on_the_folder_says_that_there_is_one(attached):
    argv = (sys.executable, "-m", "bot.cli", "gateway")
    second = subprocess.run(argv, env=attached.env, capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert second.returncode == 2
    assert "Another gateway uses" in second.stderr
    assert attached.everybody() == {"r1", "r2"}


def test_a_second_gateway_on_another_computer_says_where_the_first_one_is(attached, tmp_path):
    argv = (sys.executable, "-m", "bot.cli", "gateway")
    env = attached.env | {"MIXTRAL_GATEWAY_FOLDER": str(tmp_path), "MIXTRAL_GATEWAY_BIND": f"127.0.0.1:{free_port()}"}
    second = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert second.returncode == 2
    assert "Another gateway runs already, on " in second.stderr
    assert str(attached.folder) in second.stderr
    assert attached.everybody() == {"r1", "r2"}


def test_a_deployment_whose_log_is_lost_or_of_a_newer_version_keeps_its_route(attached, redis):
    redis.xadd(f"mixtral:d:{attached.story.id}", {"e": '{"type":"SomethingNew"}'}, id="99-0")
    redis.xadd("mixtral:feed", {"d": attached.story.id})
    wait_for(lambda: "wrote SomethingNew" in (attached.logs / "gateway.log").read_text(), "the gateway has seen it")
    time.sleep(1.5)
    assert attached.everybody() == {"r1", "r2"}


def test_a_request_of_a_dead_only_replica_waits_for_the_next_one(attached, replicas):
    attached.tell(ReplicaDraining, attempt=2, why="scaled down")
    wait_for(lambda: attached.has(ReplicaDrained), "one is left")
    replicas[0].end()  # the log does not know yet, and says that it is ready
    asked = threading.Thread(target=lambda: answers.append(attached.ask(KEY)))
    answers = []
    asked.start()
    time.sleep(2)
    assert not answers, answers
    third = attached.story.asked().created(f"http://{replicas[2].address}").events[-2:]
    attached.log.record(attached.story.id, attached.log.version(attached.story.id), third)
    attached.tell(ReplicaReady, attempt=3, address=f"http://{replicas[2].address}")
    asked.join(20 * PATIENCE)
    assert answers[0][0] == 200
    assert answers[0][2]["replica"] == "r3"


def test_haproxy_that_is_killed_comes_back_with_the_whole_table_of_today(attached):
    os.kill(attached.master(), signal.SIGKILL)
    wait_for(lambda: not connects(attached.port), "nobody listens")
    attached.tell(ReplicaDraining, attempt=1, why="scaled down")
    wait_for(lambda: attached.has(ReplicaDrained) or "r1 " not in _config(attached), "the gateway has read it")
    wait_for(lambda: attached.children.restart_the_dead() or connects(attached.port), "HAProxy is back")
    wait_for(lambda: attached.ask(KEY)[0] == 200, "it answers")
    assert attached.everybody() == {"r2"}
    assert attached.ask("wrong")[0] == 401


def test_haproxy_waits_for_its_files(tmp_path, redis, valkey_url):
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    attached = Attached(folder, tmp_path, redis, valkey_url)
    try:
        attached.start_haproxy()
        time.sleep(0.3)
        assert not connects(attached.port)
        attached.start_gateway()
        wait_for(lambda: connects(attached.port), "it has begun")
        assert attached.ask(KEY)[0] == 401
    finally:
        attached.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_stop_of_haproxy_lets_streams_end(attached):
    with attached.stream(KEY, chunks=40) as seen:
        os.kill(attached.master(), getattr(signal, SERVICES["haproxy"]["stop_signal"]))
        wait_for(lambda: not connects(attached.port), "it takes nothing new")
    assert seen[-1] == "whole"


def _config(attached):
    return (attached.folder / "haproxy.cfg").read_text()
