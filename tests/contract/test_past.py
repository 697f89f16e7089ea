"""The deployments that ended recently, on a real Valkey."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.logs import Logs
from workers.deployment.log import Log
from workers.deployment.past import Past

LONG_AGO = datetime.now(UTC) - timedelta(days=2)


@pytest.fixture
def shelf(redis):
    return Logs(redis)


def end(shelf, name):
    id_ = shelf.put(name, "http://127.0.0.1:1")
    shelf.append(shelf.story(id_).stopped().ended())
    return id_


def test_two_that_ended_under_one_name_are_both_there_and_a_running_one_is_not(redis, shelf):
    first, second = end(shelf, "fast"), end(shelf, "fast")
    shelf.start("slow")
    found = Past(Log(redis)).since(LONG_AGO, 10)
    assert {state.id for state in found} == {first, second}


def test_a_fact_after_the_end_is_seen(redis, shelf):
    past, id_ = Past(Log(redis)), end(shelf, "fast")
    [before] = past.since(LONG_AGO, 10)
    shelf.append(shelf.story(id_).gone("ended by request", 1))
    [after] = past.since(LONG_AGO, 10)
    assert before.attempts[0].gone_at is None
    assert after.attempts[0].gone_at is not None


def test_of_too_many_the_newest_are_returned(redis, shelf):
    ids = [end(shelf, name) for name in ("a", "b", "c")]
    for at, id_ in enumerate(ids):
        redis.zadd("mixtral:past", {f"{'abc'[at]} {id_}": LONG_AGO.timestamp() + 60 * at})
    assert [state.name for state in Past(Log(redis)).since(LONG_AGO, 2)] == ["c", "b"]
    assert [state.name for state in Past(Log(redis)).since(LONG_AGO + timedelta(seconds=90), 9)] == ["c"]


def test_a_log_that_cannot_be_read_hides_no_other(redis, shelf):
    end(shelf, "fast")
    broken, lost = end(shelf, "slow"), end(shelf, "gone")
    redis.xadd(f"mixtral:d:{broken}", {"e": "{"})
    redis.delete(f"mixtral:d:{lost}")
    assert [state.name for state in Past(Log(redis)).since(LONG_AGO, 10)] == ["fast"]
