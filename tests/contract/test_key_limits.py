"""The limits of keys, kept by a real HAProxy on loopback."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import pytest

from tests.fakes.haproxy import Gateway, Replica, route, server, wait_for
from workers.policy.key_limits import MOST

IDS = {"greedy": "k-1", "modest": "k-2"}
KEYS = ("greedy", "modest", "bots")


@pytest.fixture(scope="module")
def replica():
    started = Replica("r1")
    yield started
    started.end()


@pytest.fixture
def limited(gateway, replica):
    """Gives all keys but the bot's the limits in the arguments."""

    def limit(*more, keys=KEYS, **limits):
        ids = {key: id_ for key, id_ in IDS.items() if key in keys}
        return gateway.converge(route("d1", [server(replica)], keys=keys, ids=ids, limits=limits), *more)

    return limit


def statuses(gateway, key, times):
    return Counter(gateway.ask(key)[0] for _ in range(times))


def uses(gateway):
    return {name: (use.admitted, use.refused) for name, use in gateway.haproxy.key_uses().items()}


def refusal(gateway, key="greedy"):
    status, headers, body = gateway.ask(key)
    assert status == 429
    assert headers["content-type"] == "application/json"
    assert body["error"]["code"] == body["error"]["type"] == "rate_limit_exceeded"
    assert body["error"]["param"] is None
    return int(headers["retry-after"]), body["error"]["message"]


def test_requests_per_minute_are_limited_for_each_key_and_counted_at_it(gateway, limited):
    limited(requests_per_minute=3)
    assert statuses(gateway, "greedy", 8) == {200: 3, 429: 5}
    assert statuses(gateway, "modest", 2) == {200: 2}
    assert uses(gateway) == {"d1/k-1": (3, 5), "d1/k-2": (2, 0)}
    after, message = refusal(gateway)
    assert after == 30
    assert "3 requests per minute" in message
    assert "requests_per_minute" in message


def test_the_key_of_the_bot_is_neither_limited_nor_counted(gateway, limited):
    limited(requests_per_minute=1, at_once=1, bytes_per_minute=1)
    assert statuses(gateway, "bots", 5) == {200: 5}
    assert uses(gateway) == {}


def test_a_stream_is_one_request_at_once_until_its_end(gateway, limited):
    limited(at_once=2)
    with ExitStack() as streams:
        seen = [streams.enter_context(gateway.stream("greedy")) for _ in range(2)]
        after, message = refusal(gateway)
        assert after == 5
        assert "2 requests at once" in message
        assert gateway.ask("modest")[0] == 200
        assert gateway.haproxy.key_uses()["d1/k-1"].at_once == 2
    assert [stream[-1] for stream in seen] == ["whole", "whole"]
    wait_for(lambda: gateway.haproxy.key_uses()["d1/k-1"].at_once == 0, "the streams are not counted any more")
    assert statuses(gateway, "greedy", 4) == {200: 4}


def test_one_session_of_a_key_fills_no_replica_beyond_its_share(gateway, replica):
    with ExitStack() as stack:
        other = Replica("r2")
        stack.callback(other.end)
        both = [server(replica), server(other)]
        gateway.converge(route("d1", both, keys=["greedy"], ids=IDS, limits={"at_once": 8}))
        wait_for(lambda: all(s.up for s in gateway.haproxy.actual().servers), "both take requests")
        mine = {"x-session-id": "s1"}
        for of_one in (1, 2, 3, 4):
            stack.enter_context(gateway.stream("greedy", headers=mine))
            assert sorted(streams_on(gateway).values()) == [0, of_one]
        for _ in range(4):
            stack.enter_context(gateway.stream("greedy", headers=mine))
        assert streams_on(gateway) == {"r1": 4, "r2": 4}
        assert gateway.ask("greedy", headers=mine)[0] == 429


def streams_on(gateway):
    return {server.name: server.sessions for server in gateway.haproxy.actual().servers}


def test_requests_that_were_refused_do_not_stay_counted_at_once(gateway, limited):
    limited(at_once=1)
    with gateway.stream("greedy"), ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: gateway.ask("greedy")[0], range(40))) == {429}
    wait_for(lambda: gateway.haproxy.key_uses()["d1/k-1"].at_once == 0, "nothing is in work")
    assert gateway.ask("greedy")[0] == 200


def test_bytes_per_minute_are_limited_and_what_is_begun_is_answered_whole(gateway, limited):
    limited(bytes_per_minute=300)
    with gateway.stream("greedy", chunks=60) as seen:
        pass
    assert seen[-1] == "whole"
    after, message = refusal(gateway)
    assert after == 30
    assert "300 bytes of answers per minute" in message
    assert gateway.ask("modest")[0] == 200


def test_limits_change_live_without_a_reload(gateway, limited):
    limited(requests_per_minute=2)
    before = gateway.haproxy._cli.processes()
    assert statuses(gateway, "greedy", 4) == {200: 2, 429: 2}
    assert dict(limited(requests_per_minute=5).limits) == {"d1/requests_per_minute": "5"}
    assert statuses(gateway, "greedy", 5) == {200: 3, 429: 2}
    assert "5 requests per minute" in refusal(gateway)[1]
    assert limited().limits == {}
    assert statuses(gateway, "greedy", 20) == {200: 20}
    assert gateway.haproxy._cli.processes() == before


def test_the_largest_limits_of_a_policy_are_taken_as_they_are(gateway, limited):
    assert limited(**MOST).limits == {f"d1/{name}": str(most) for name, most in MOST.items()}
    assert statuses(gateway, "greedy", 5) == {200: 5}


def test_a_key_that_was_revoked_gets_401_and_not_429(gateway, limited):
    limited(requests_per_minute=1)
    assert statuses(gateway, "greedy", 2) == {200: 1, 429: 1}
    assert limited(keys=("modest", "bots"), requests_per_minute=1).ids == {"modest": "d1/k-2"}
    assert statuses(gateway, "greedy", 2) == {401: 2}
    assert uses(gateway) == {"d1/k-1": (1, 1)}


def test_a_wrong_key_takes_no_place_in_the_table(gateway, limited):
    limited(requests_per_minute=1)
    assert [gateway.ask(key)[0] for key in ("wrong", "k-1", "d1/k-1", None)] == [401] * 4
    assert uses(gateway) == {}


def test_a_reload_keeps_the_limits_cuts_no_stream_and_starts_the_counts_again(gateway, limited):
    limited(requests_per_minute=3)
    with gateway.stream("greedy") as seen:
        assert statuses(gateway, "greedy", 4) == {200: 2, 429: 2}
        limited(*(route(f"more{n}", keys=[f"m{n}"]) for n in range(6)), requests_per_minute=3)
        assert statuses(gateway, "greedy", 5) == {200: 3, 429: 2}
    assert seen[-1] == "whole"


def test_a_restart_of_haproxy_starts_with_the_limits(gateway, limited, folder, replica):
    limited(requests_per_minute=2)
    gateway.stop()
    again = Gateway(folder)
    table = route("d1", [server(replica)], keys=KEYS, ids=IDS, limits={"requests_per_minute": 2})
    try:
        again.children.start(again.haproxy.child(folder / "haproxy.log"))
        again.port = gateway.port
        again.wait()
        assert statuses(again, "greedy", 3) == {200: 2, 429: 1}
        assert again.converge(table).limits == {"d1/requests_per_minute": "2"}
    finally:
        again.stop()


def test_no_key_is_in_the_table_of_uses(gateway, limited):
    limited()
    gateway.ask("greedy")
    text = gateway.haproxy._cli.ask("show table key_uses")
    assert "d1/k-1" in text
    assert not any(key in text for key in KEYS)


def test_the_last_use_is_known_to_the_second(gateway, limited):
    limited()
    gateway.ask("greedy")
    wait_for(lambda: gateway.haproxy.key_uses()["d1/k-1"].ago > timedelta(seconds=1), "a second has passed")
    gateway.ask("modest")
    found = gateway.haproxy.key_uses()
    assert timedelta(seconds=1) < found["d1/k-1"].ago < timedelta(seconds=60)
    assert found["d1/k-2"].ago < found["d1/k-1"].ago
