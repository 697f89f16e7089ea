"""What `mixtral-bot check` reports of Redis: persistence, eviction, the installation, and whether a worker runs."""

import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from bot.cli import check_connections, check_redis, check_workers
from bot.cli.check_connections import gateway
from tests.builders.events import requested
from tests.fakes.haproxy import Gateway
from workers.deployment.identity import INSTALLATION
from workers.deployment.log import Log, new_id
from workers.gateway.claim import Claim
from workers.gateway.config import INSTALLATION as GATEWAY_OF
from workers.heartbeats import HEARTBEATS, HeartbeatRecorder, WorkerPart, read
from workers.lease import Lease


@pytest.fixture
def environ(redis, valkey_url, tmp_path, monkeypatch):
    monkeypatch.setattr(check_workers, "SWEEPER_RESTARTS_WITHIN", 0.0)
    before = redis.config_get("appendfsync", "appendonly", "save", "maxmemory", "maxmemory-policy")
    yield {"REDIS_URL": valkey_url, "MIXTRAL_HOME": str(tmp_path), "MIXTRAL_INSTALLATION": "i-a"}
    for name, value in before.items():
        redis.config_set(name, value)


def found(environ, about, what=""):
    """The finding about a thing: whether it works, what it says, and its mend."""
    return [(f.works, f.says, f.mend) for f in check_redis.redis(environ) if (f.about, f.what) == (about, what)]


@pytest.mark.parametrize(
    ("fsync", "works", "says", "mend"),
    [
        ("always", True, "stores every append on disk", ""),
        ("everysec", True, "a crash of its host loses up to 2 s of them", ""),
        (
            "no",
            False,
            "Machines that were bought in that time may be bought again",
            "set appendfsync always, or everysec",
        ),
    ],
)
def test_what_a_crash_can_lose_is_said(environ, redis, fsync, works, says, mend):  # noqa: PLR0917 - a table
    redis.config_set("appendfsync", fsync)
    ((worked, said, mended),) = found(environ, "Redis")
    assert (worked, mended) == (works, mend)
    assert says in said


def test_an_address_that_cannot_be_read_is_said_without_its_password(environ):
    ((worked, said, mended),) = found(environ | {"REDIS_URL": "redis://:hunter2/x@host:6379/0"}, "Redis")
    assert (worked, said) == (False, "REDIS_URL is not a Redis address")
    assert "hunter2" not in said + mended


def test_a_redis_that_refuses_config_is_not_a_failure(environ, redis, valkey_url):
    redis.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@all", "-config")
    poor = environ | {"REDIS_URL": valkey_url.replace("redis://", "redis://poor:secret@")}
    ((worked, said, _),) = found(poor, "Redis")
    redis.execute_command("ACL", "DELUSER", "poor")
    assert worked
    assert "is not known, because CONFIG is refused" in said


@pytest.mark.parametrize(
    ("save", "lost"), [("", "everything: appendonly is no, and it stores no snapshots"), ("900 1", "`save 900 1`")]
)
def test_a_redis_without_an_append_only_file_says_what_it_forgets(environ, redis, save, lost):
    redis.config_set("save", save)
    redis.config_set("appendonly", "no")
    ((works, says, mend),) = found(environ, "Redis")
    assert (works, mend) == (False, "start it with --appendonly yes")
    assert lost in says
    assert "Machines that were bought then run on unknown" in says


@contextmanager
def replica(redis):
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        redis.execute_command("REPLICAOF", "NO", "ONE")


def test_a_redis_that_accepts_no_writes_is_a_failure_with_cause_and_mend(environ, redis):
    assert found(environ, "Redis", "writes") == []
    with replica(redis):
        ((works, says, mend),) = found(environ, "Redis", "writes")
    assert not works
    assert says == "Redis is a read-only replica and accepts no writes, so nothing can be launched, scaled or ended"
    assert "REPLICAOF NO ONE" in mend
    redis.config_set("maxmemory", 1)
    ((works, says, mend),) = found(environ, "Redis", "writes")
    assert not works
    assert "the memory of Redis is full" in says
    assert "raise `maxmemory`" in mend
    redis.config_set("maxmemory", 0)
    redis.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-@write")
    reader = environ | {"REDIS_URL": environ["REDIS_URL"].replace("redis://", "redis://reader:secret@")}
    ((works, says, mend),) = found(reader, "Redis", "writes")
    redis.execute_command("ACL", "DELUSER", "reader")
    assert not works
    assert "does not allow this to the user in REDIS_URL" in says
    assert "ACL SETUSER" in mend


@pytest.mark.parametrize(
    ("ahead", "says"),
    [
        (timedelta(hours=1), "1 h ahead of the clock of"),
        (-timedelta(hours=2), "1 h 59 min behind the clock"),
    ],
)
def test_a_clock_of_this_host_that_differs_from_that_of_redis_is_told(environ, monkeypatch, ahead, says):
    class Differs(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + ahead + timedelta(seconds=0.9)  # Redis tells whole seconds

    assert found(environ, "Redis", "clock") == []
    monkeypatch.setattr(check_redis, "datetime", Differs)
    ((works, said, mend),) = found(environ, "Redis", "clock")
    assert (works, mend) == (False, "synchronize both clocks by NTP")
    assert says in said


def test_a_memory_that_is_almost_full_and_a_slow_redis_are_reported_before_they_fail(environ, redis, monkeypatch):
    monkeypatch.setattr(check_redis, "SLOW", 30.0)  # a call on a busy host may take longer than the product's 0.1 s
    assert found(environ, "Redis", "speed") == []
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] * 1.05) + 100_000)
    monkeypatch.setattr(check_redis, "FULL_FROM", 0.5)
    monkeypatch.setattr(check_redis, "SLOW", 0.0)
    ((works, says, mend),) = found(environ, "Redis", "memory")
    assert (works, mend) == (None, "raise maxmemory")
    assert "% of maxmemory is used" in says
    ((works, says, _),) = found(environ, "Redis", "speed")
    assert works is None
    assert "commands in Slack need several within its 3 s" in says


@pytest.mark.parametrize(
    ("url", "addresses", "works"),
    [
        ("redis://cache.example:6379/0", ["93.184.216.34"], False),
        ("redis://valkey:6379/0", ["172.18.0.2"], None),
        ("redis://:secret@cache.example:6379/0", ["93.184.216.34"], "nothing"),
        ("redis://localhost:6379/0", ["127.0.0.1", "::1"], "nothing"),
        ("unix:///run/valkey.sock", [], "nothing"),
    ],
)
def test_a_redis_without_a_password_that_others_can_reach_is_reported(monkeypatch, url, addresses, works):
    monkeypatch.setattr(check_redis, "_addresses", lambda _: [ip_address(a) for a in addresses])
    findings = list(check_redis._access(url))
    assert [f.works for f in findings] == ([] if works == "nothing" else [works])
    for finding in findings:
        assert "make the workers run any program" in finding.says
        assert "requirepass" in finding.mend


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_deletes_logs_when_it_is_full_is_a_failure_with_the_mend(environ, redis, policy):
    assert found(environ, "Redis", "memory") == []
    redis.config_set("maxmemory-policy", policy)
    ((works, says, mend),) = found(environ, "Redis", "memory")
    assert (works, mend) == (False, "set maxmemory-policy noeviction")
    assert f"maxmemory-policy is {policy}" in says


def test_a_worker_that_is_frozen_or_away_is_a_failure_once_there_are_deployments(environ, redis):
    assert found(environ, "worker") == [(None, "none runs yet", "start `mixtral-bot worker`")]
    Log(redis).open(new_id(), requested(), "mxk_of_a_test", "once")
    ((works, says, mend),) = found(environ, "worker")
    assert not works
    assert "the machines of the deployment are not observed" in says
    assert "end and start it again" in mend
    with Lease(redis, "sweeper", timedelta(seconds=10)).held():
        assert found(environ, "worker") == [(True, "observes the machines", "")]


def beat(redis, part, ago=0, host="h-a", name="worker-1"):
    at = redis.time()[0] - ago
    redis.hset(HEARTBEATS, f"{part} {host}", f"{at} {name}")


def test_a_gateway_that_does_not_run_is_a_failure_once_there_are_deployments(environ, redis):
    (works, _, mend) = found(environ, "gateway", "process")[0]
    assert (works, mend) == (None, "start `mixtral-bot gateway`")
    id_ = new_id()
    Log(redis).open(id_, requested("fast"), "key", "once")
    (works, says, mend) = found(environ, "gateway", "process")[0]
    assert not works
    assert "no endpoint answers" in says
    assert mend.startswith("start `mixtral-bot gateway`")
    with Claim(redis, "on a host, in /somewhere").held(threading.Event()):
        assert found(environ, "gateway", "process") == [(True, "runs on a host, in /somewhere", "")]


def test_workers_that_observe_but_do_no_jobs_are_a_failure_with_since_when(environ, redis):
    Log(redis).open(new_id(), requested(), "mxk_of_a_test", "once")
    with Lease(redis, "sweeper", timedelta(seconds=10)).held():
        beat(redis, WorkerPart.JOBS, ago=30)  # late after 40 s
        assert found(environ, "worker") == [(True, "observes the machines", "")]
        beat(redis, WorkerPart.JOBS, ago=90)
        beat(redis, WorkerPart.JOBS, ago=200, host="h-b", name="worker-2")
        observes, (works, says, mend) = found(environ, "worker")
    assert observes[0]
    assert works is False
    assert "no process has done a job since 20" in says
    assert "(the last was on worker-1): nothing is launched, scaled or ended" in says
    assert "end and start it again" in mend


def test_a_sweeper_that_is_missing_is_said_with_since_when(environ, redis):
    Log(redis).open(new_id(), requested(), "mxk_of_a_test", "once")
    beat(redis, WorkerPart.SWEEPER, ago=70)
    ((works, says, _),) = found(environ, "worker")
    assert works is False
    assert "none answers since 20" in says
    assert "(the last was on worker-1): the machines" in says


def test_a_host_and_a_process_that_are_frozen_are_named_beside_those_that_answer(environ, redis):
    beat(redis, WorkerPart.POOL)
    beat(redis, WorkerPart.POOL, ago=300, host="h-b", name="worker-2")
    then = datetime.fromtimestamp(redis.time()[0] - 60, UTC).isoformat()
    redis.sadd("rq:workers", "rq:worker:x")
    redis.hset("rq:worker:x", mapping={"hostname": "worker-1", "pid": "4711", "last_heartbeat": then})
    with Lease(redis, "sweeper", timedelta(seconds=10)).held():
        ((works, says, mend),) = found(environ, "worker", "host")
        assert works is None
        assert says.startswith("`mixtral-bot worker` on worker-2 has not answered since 20")
        assert "if the host was removed" in mend
        ((works, says, _),) = found(environ, "worker", "process")
        assert works is None
        assert "processes that do jobs on worker-1 (process 4711) has not answered since 20" in says


def test_a_part_that_is_silent_for_a_day_is_forgotten_by_the_next_heartbeat(redis):
    beat(redis, WorkerPart.POOL, ago=86_500, host="h-old")
    HeartbeatRecorder(redis, WorkerPart.POOL, "h-a").beat()
    assert [(b.part, b.is_late) for b in read(redis)] == [(WorkerPart.POOL, False)]


def test_the_redis_of_another_installation_is_named_with_both_ids(environ, redis):
    redis.set(INSTALLATION, "i-a")
    assert found(environ, "Redis", "installation") == []
    redis.set(INSTALLATION, "i-b")
    ((works, says, mend),) = found(environ, "Redis", "installation")
    assert not works
    assert "belongs to the installation i-b, and this host to i-a" in says
    assert "MIXTRAL_INSTALLATION=i-b" in mend


def test_the_gateway_of_another_installation_at_the_address_is_a_failure(environ, tmp_path_factory):
    there = Gateway(tmp_path_factory.mktemp("gw"), installation="i-b").start()
    try:
        asked = environ | {"MIXTRAL_GATEWAY_URL": f"http://127.0.0.1:{there.port}"}
        (other,) = [f for f in gateway(asked) if f.what == "address"]
        assert other.works is False
        assert "is the gateway of the installation i-b, and this is i-a" in other.says
        (ours,) = [f for f in gateway(asked | {"MIXTRAL_INSTALLATION": "i-b"}) if f.what == "address"]
        assert ours.works
    finally:
        there.stop()


class SharedPort(ThreadingHTTPServer):
    """A gateway as one of a version that shared its port with others: each connection goes to one of them."""

    daemon_threads = True

    def __init__(self, installation, port=0):
        class Health(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header(GATEWAY_OF, installation)
                self.send_header("content-length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", port), Health, bind_and_activate=False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.server_bind()
        self.server_activate()
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_two_gateways_that_share_a_port_are_a_failure_whichever_answers_first(environ, monkeypatch):
    assert check_connections.CONNECTIONS >= 10
    monkeypatch.setattr(check_connections, "CONNECTIONS", 100)  # of ten, all go to one of the two in 1 of 1024 cases
    with SharedPort("i-a") as ours, SharedPort("i-b", ours.server_port) as theirs:
        asked = environ | {"MIXTRAL_GATEWAY_URL": f"http://127.0.0.1:{ours.server_port}"}
        (address,) = [f for f in gateway(asked) if f.what == "address"]
        assert address.works is False
        assert "is the gateway of the installation i-b" in address.says
        for server in (ours, theirs):
            server.shutdown()
