"""The gateway's loop: what keeps it looking at HAProxy while Redis is away or the clock jumps."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from tests.builders.logs import append
from tests.builders.story import Story
from tests.fakes.haproxy import wait_for
from workers.deployment.events import KeyId, KeyIssued, KeyRevoked
from workers.deployment.gateway_notices import GatewayNotices
from workers.deployment.key_uses import KeyUses
from workers.deployment.loads import Loads
from workers.deployment.log import Log, new_event_id, new_id, stamp
from workers.gateway import gateway as loop
from workers.gateway.gateway import Gateway
from workers.gateway.table import Actual, ActualServer
from workers.policy.stored import StoredPolicy
from workers.sandbox.valkey import free_port


class Haproxy:
    """Counts the looks. The answers of its one replica grow at each."""

    def __init__(self):
        self.looks = 0
        self.hastened = []
        self.can_hasten = True
        self.flowing = []

    def hasten(self, table):
        self.hastened.append(table)
        return self.can_hasten

    def converge(self, _table, flowing=()):
        self.looks += 1
        self.flowing.append(set(flowing))
        return Actual(size=1, servers=(ActualServer(backend="b0", name="r1", address="h:1", sent=self.looks),))

    fault = ""

    def key_uses(self):
        return {}

    def wrong_keys(self):
        return {}


class Holding:
    def held(self):
        return 0

    def look_again(self):
        pass

    def keep_only(self, _known):
        pass

    def arrivals(self, _id):
        raise AssertionError("HAProxy reports no load")


@pytest.fixture
def always_due(monkeypatch):
    monkeypatch.setattr(loop, "LOOK_EVERY", timedelta())
    monkeypatch.setattr(loop, "LOOK_SHARE", 0)


@pytest.fixture
def never_due(monkeypatch):
    """However long the turns of a test take, no look is due after the first one."""
    monkeypatch.setattr(loop, "LOOK_EVERY", timedelta(hours=1))


def gateway(redis, haproxy, clock):
    return Gateway(
        log=Log(redis),
        haproxy=haproxy,
        loads=Loads(redis),
        key_uses=KeyUses(redis),
        notices=GatewayNotices(redis),
        policy=StoredPolicy(redis).current,
        nudge=lambda _: None,
        url="http://gw",
        clock=clock,
    )


@pytest.mark.usefixtures("always_due")
def test_a_clock_that_is_set_back_stops_no_look(redis):
    at = [datetime.now(UTC)]
    haproxy = Haproxy()
    ours = gateway(redis, haproxy, lambda: at[0])
    ours.turn(Holding())
    at[0] -= timedelta(hours=2)
    ours.turn(Holding())
    assert haproxy.looks == 2


@pytest.mark.usefixtures("always_due")
def test_while_redis_is_away_replicas_whose_answers_flow_stay_trusted():
    dead = Redis.from_url(f"redis://127.0.0.1:{free_port()}/0", retry=Retry(NoBackoff(), 0))
    haproxy = Haproxy()
    ours = gateway(dead, haproxy, lambda: datetime.now(UTC))
    for _ in range(3):
        with pytest.raises(RedisConnectionError):
            ours.turn(Holding())
    assert haproxy.flowing == [set(), set(), {"h:1"}]


@pytest.mark.usefixtures("never_due")
def test_between_two_looks_haproxy_is_left_alone(redis):
    haproxy = Haproxy()
    ours = gateway(redis, haproxy, lambda: datetime.now(UTC))
    for _ in range(3):
        ours.turn(Holding())
    assert haproxy.looks == 1


@pytest.mark.usefixtures("never_due")
def test_a_change_of_keys_is_applied_without_reading_haproxy(redis):
    haproxy = Haproxy()
    id_ = new_id()
    ours = gateway(redis, haproxy, lambda: datetime.now(UTC))
    story = Story("d", id_=id_).planned().asked().created().ready()
    append(redis, story)
    ours.turn(Holding())
    looks = haproxy.looks
    log = Log(redis)
    issued = KeyIssued(**stamp(datetime.now(UTC)), key=KeyId("k-2"), user="U2", by="U1")
    assert log.issue(id_, log.version(id_), issued, "mxk_new")
    ours.turn(Holding())
    assert "mxk_new" in haproxy.hastened[-1].routes[0].keys
    assert log.revoke(id_, log.version(id_), KeyRevoked(**stamp(datetime.now(UTC)), key=KeyId("k-2"), by="U1"))
    ours.turn(Holding())
    assert "mxk_new" not in haproxy.hastened[-1].routes[0].keys
    assert haproxy.looks == looks
    haproxy.can_hasten = False  # it was restarted
    assert log.issue(id_, log.version(id_), replace(issued, event_id=new_event_id()), "mxk_newer")
    ours.turn(Holding())
    assert haproxy.looks == looks + 1


def test_the_loop_wakes_at_an_append(redis, monkeypatch):
    monkeypatch.setattr(loop, "TURN", timedelta(seconds=30))
    haproxy = Haproxy()
    ours = gateway(redis, haproxy, lambda: datetime.now(UTC))
    stop = threading.Event()
    thread = threading.Thread(target=ours.run, args=(Holding(), stop))
    thread.start()
    try:
        wait_for(lambda: haproxy.looks, "the first look")
        append(redis, Story("d", id_=new_id()).planned().asked().created().ready())
        wait_for(lambda: haproxy.hastened and haproxy.hastened[-1].routes, "the table has the route", seconds=5)
    finally:
        stop.set()
        append(redis, Story("e", id_=new_id()))
        thread.join()
