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
    assert {state.id for state in found.states} == {first, second}
    assert (found.left_out, found.since) == (0, LONG_AGO)


def test_a_fact_after_the_end_is_seen(redis, shelf):
    past, id_ = Past(Log(redis)), end(shelf, "fast")
    [before] = past.since(LONG_AGO, 10).states
    shelf.append(shelf.story(id_).gone("ended by request", 1))
    [after] = past.since(LONG_AGO, 10).states
    assert before.attempts[0].gone_at is None
    assert after.attempts[0].gone_at is not None


def test_of_too_many_the_newest_are_returned_with_the_time_since_which_they_are_complete(redis, shelf):
    for name in ("a", "b", "c"):
        end(shelf, name)
    found = Past(Log(redis)).since(LONG_AGO, 2)
    assert len(found.states) == 2
    assert found.since == found.states[-1].ended.at > LONG_AGO


def test_a_log_that_cannot_be_read_is_counted_and_hides_no_other(redis, shelf):
    end(shelf, "fast")
    broken, lost = end(shelf, "slow"), end(shelf, "gone")
    redis.xadd(f"mixtral:d:{broken}", {"e": "{"})
    redis.delete(f"mixtral:d:{lost}")
    found = Past(Log(redis)).since(LONG_AGO, 10)
    assert [state.name for state in found.states] == ["fast"]
    assert found.left_out == 2
