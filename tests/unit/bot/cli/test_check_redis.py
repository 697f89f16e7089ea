"""What `mixtral-bot check` reports of Redis: persistence, eviction, the installation, and whether a worker runs."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from bot.cli import check_redis
from bot.cli.check_connections import gateway
from tests.builders.events import requested
from tests.fakes.haproxy import Gateway
from workers.deployment.identity import INSTALLATION
from workers.deployment.log import Log, new_id
from workers.gateway.haproxy import Haproxy
from workers.lease import Lease


@pytest.fixture
def environ(redis, valkey_url, tmp_path, monkeypatch):
    monkeypatch.setattr(check_redis, "SWEEPER_RESTARTS_WITHIN", 0.0)
    before = redis.config_get("appendfsync", "maxmemory-policy")
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


def test_two_gateways_that_share_a_port_are_a_failure_whichever_answers_first(environ, tmp_path_factory):
    ours, theirs = (Gateway(tmp_path_factory.mktemp("gw"), installation=i) for i in ("i-a", "i-b"))
    theirs.port = ours.port
    theirs.haproxy = Haproxy(replace(theirs.shape, bind=ours.shape.bind), theirs.folder)
    ours.start()
    theirs.start()
    try:
        asked = environ | {"MIXTRAL_GATEWAY_URL": f"http://127.0.0.1:{ours.port}"}
        (address,) = [f for f in gateway(asked) if f.what == "address"]
        assert address.works is False
        assert "is the gateway of the installation i-b" in address.says
    finally:
        theirs.stop()
        ours.stop()
