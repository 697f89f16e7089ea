"""The last use of each key, from HAProxy's table to Redis."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.deployment.events import DeploymentId, KeyId
from workers.deployment.key_uses import KEPT, KeyUses
from workers.gateway import key_watch
from workers.gateway.haproxy_output import key_uses
from workers.gateway.key_watch import KeyWatch
from workers.gateway.table import KeyUse

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
D1, D2 = DeploymentId("d1"), DeploymentId("d2")


def reading(**ago):
    """HAProxy's table with these uses, in seconds ago."""
    return lambda: {
        name.replace("_", "/"): KeyUse(ago=timedelta(seconds=s), at_once=0, admitted=1, refused=0)
        for name, s in ago.items()
    }


@pytest.fixture(autouse=True)
def always_due(monkeypatch):
    monkeypatch.setattr(key_watch, "LOOK_EVERY", 0.0)


def test_the_last_use_of_each_key_is_written_and_stays_when_haproxy_has_forgotten_it(redis):
    uses = KeyUses(redis)
    watch = KeyWatch(uses)
    watch.look(reading(d1_first=3, d2_k=0), NOW)
    watch.look(reading(d1_first=13, d1_k=0), NOW + timedelta(seconds=10))
    assert uses.read(D1, NOW) == {KeyId("first"): NOW - timedelta(seconds=3), KeyId("k"): NOW + timedelta(seconds=10)}
    assert uses.read(D2, NOW) == {KeyId("k"): NOW}
    watch.look(reading(), NOW + timedelta(hours=1))  # reloaded
    assert uses.read(D2, NOW) == {KeyId("k"): NOW}
    assert 0 < redis.ttl("mixtral:key_uses:d1") <= KEPT.total_seconds()


def test_a_key_that_was_not_used_for_long_is_not_read_although_another_one_is_used(redis):
    uses = KeyUses(redis)
    uses.write(D1, {KeyId("old"): NOW - timedelta(days=200), KeyId("k"): NOW - timedelta(days=200)})
    uses.write(D1, {KeyId("k"): NOW - KEPT})
    assert uses.read(D1, NOW) == {KeyId("k"): NOW - KEPT}
    assert uses.read(D1, NOW + timedelta(seconds=1)) == {}


def test_what_was_not_used_again_is_not_written_again(redis):
    class Counted(KeyUses):
        writes = 0

        def write(self, deployment, uses):
            self.writes += 1
            super().write(deployment, uses)

    uses = Counted(redis)
    watch = KeyWatch(uses)
    for after in (0, 10, 20):
        watch.look(reading(d1_first=3 + after + 0.3), NOW + timedelta(seconds=after))
    assert uses.writes == 1


SHOWN = """\
# table: key_uses, type: string, size:10240, used:2
0x1d9e3fb0: key=d1/k-1 use=0 exp=590000 shard=0 conn_cur=0 bytes_out_rate(60000)=176 gpc0=2 gpc1=7 gpc0_rate(60000)=2
0x1d9e3fb8: key=d1/first use=3 exp=100 shard=0 conn_cur=3 bytes_out_rate(60000)=0 gpc0=9 gpc1=0 gpc0_rate(60000)=2
"""


def test_a_key_with_an_open_stream_is_in_use_now():
    found = key_uses(SHOWN, timedelta(minutes=10))
    assert found["d1/k-1"] == KeyUse(ago=timedelta(seconds=10), at_once=0, admitted=2, refused=7)
    assert found["d1/first"] == KeyUse(ago=timedelta(), at_once=3, admitted=9, refused=0)


def test_a_process_that_is_ending_tells_of_no_use():
    assert key_uses("", timedelta(minutes=10)) == {}


def test_a_line_of_a_table_with_other_fields_is_left_out():
    """Else one reload of a gateway of another version would end this process, and HAProxy with it."""
    other = "0x1d9e3fb1: key=d2/first use=0 exp=590000 shard=0 conn_cur=0\n"
    assert key_uses(SHOWN + other, timedelta(minutes=10)).keys() == {"d1/k-1", "d1/first"}
