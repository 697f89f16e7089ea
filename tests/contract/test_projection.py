"""The states in memory on a real Valkey: never behind what was appended, and never trusting what was taken back."""

import threading
from datetime import UTC, datetime

import pytest
from msgspec import MsgspecError
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.builders.events import PLACE
from tests.builders.logs import Logs
from tests.builders.recipes import SCRIPTED
from workers.api import Deployments, NoSuchDeployment
from workers.deployment import projection as projection_module
from workers.deployment.log import Log
from workers.deployment.log_reader import decoded
from workers.deployment.projection import CHECKED_EVERY, Projection
from workers.placement.limits import Limits

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = NOON + CHECKED_EVERY


@pytest.fixture
def shelf(redis):
    return Logs(redis)


@pytest.fixture
def projection(redis):
    return Projection(Log(redis))


def scaled(shelf, id_, replicas):
    shelf.append(shelf.story(id_).scaled(replicas))


def saved(redis):
    return {key: redis.dump(key) for key in redis.keys("*")}


def restore(redis, before):
    """As a Redis comes back that has lost its last moments."""
    redis.flushall()
    for key, value in before.items():
        redis.restore(key, 0, value)


def test_what_somebody_appended_is_there_after_a_refresh(shelf, projection):
    projection.refresh(NOON)
    first = shelf.put("m", "http://127.0.0.1:1")
    projection.refresh(NOON)
    assert projection.states[first].name == "m"
    scaled(shelf, first, 5)
    second = shelf.start("n")
    projection.refresh(NOON)
    assert projection.states[first].wanted == 5
    assert second in projection.states


def test_more_changes_than_one_reading_of_the_feed_holds_are_all_there(redis, shelf, projection):
    projection.refresh(NOON)
    id_ = shelf.start("m")
    pipeline = redis.pipeline()
    for n in range(2500):
        pipeline.xadd("mixtral:feed", {"d": f"gone-{n}", "v": 1})
    pipeline.execute()
    scaled(shelf, id_, 7)
    projection.refresh(NOON)
    assert projection.states[id_].wanted == 7


def test_a_check_reads_only_the_logs_that_differ(shelf, projection, monkeypatch):
    ids = [shelf.put(f"m-{n}", "http://127.0.0.1:1") for n in range(5)]
    projection.refresh(NOON)
    read = []
    monkeypatch.setattr(projection_module, "decoded", lambda entry: read.append(entry) or decoded(entry))
    scaled(shelf, ids[3], 2)
    projection.refresh(LATER)
    assert len(read) == 1
    assert projection.states[ids[3]].wanted == 2


def test_a_redis_that_was_emptied_is_noticed_at_the_next_check(redis, shelf, projection):
    shelf.put("m", "http://127.0.0.1:1")
    projection.refresh(NOON)
    redis.flushall()
    projection.refresh(LATER)
    assert projection.states == {}


def test_a_log_that_was_rolled_back_is_read_anew_at_the_next_check(redis, shelf, projection):
    id_ = shelf.start("m")
    before = saved(redis)
    scaled(shelf, id_, 5)
    projection.refresh(NOON)
    restore(redis, before)
    projection.refresh(LATER)
    assert (projection.states[id_].version, projection.states[id_].wanted) == (1, 1)


def test_a_log_that_was_rolled_back_and_went_another_way_is_read_anew_at_once(redis, shelf, projection):
    id_ = shelf.start("m")
    before = saved(redis)
    scaled(shelf, id_, 5)
    scaled(shelf, id_, 6)
    projection.refresh(NOON)
    restore(redis, before)
    scaled(shelf, id_, 2)
    scaled(shelf, id_, 3)
    scaled(shelf, id_, 4)
    projection.refresh(NOON)
    assert (projection.states[id_].version, projection.states[id_].wanted) == (4, 4)


def test_what_a_broken_connection_kept_from_us_is_read_the_next_time(shelf, projection, monkeypatch):
    id_ = shelf.start("m")
    projection.refresh(NOON)
    scaled(shelf, id_, 5)

    def broken(_):
        raise RedisConnectionError("reset by peer")

    with monkeypatch.context() as during:
        during.setattr(projection._tails, "read", broken)
        with pytest.raises(RedisConnectionError):
            projection.refresh(NOON)
    projection.refresh(NOON)
    assert projection.states[id_].wanted == 5


def test_one_that_ended_is_left_out_at_the_next_check(shelf, projection):
    id_ = shelf.start("m")
    projection.refresh(NOON)
    shelf.append(shelf.story(id_).ended())
    projection.refresh(NOON)
    assert projection.states[id_].ended
    projection.refresh(LATER)
    assert id_ not in projection.states


def test_a_log_that_cannot_be_read_is_left_out_and_the_others_are_there(redis, shelf, projection):
    odd, fine = shelf.start("odd"), shelf.start("fine")
    projection.refresh(NOON)
    redis.xadd(f"mixtral:d:{odd}", {"e": '{"type":7}'}, id="2-0")
    redis.xadd("mixtral:feed", {"d": odd, "v": 2})
    scaled(shelf, fine, 3)
    projection.refresh(NOON)
    assert projection.states.keys() == {fine}
    assert projection.states[fine].wanted == 3


def test_threads_that_ask_at_the_same_time_each_see_what_they_have_asked_for(redis, shelf):
    requests = Deployments(redis, lambda _: None, {})
    ids = [shelf.start(f"m-{n}") for n in range(8)]
    behind = []

    def person(id_):
        for replicas in range(2, 22):
            requests.scale(id_, replicas, by="U")
            wanted = {state.id: state.wanted for state in requests.all()}[id_]
            if wanted != replicas:
                behind.append((id_, replicas, wanted))

    people = [threading.Thread(target=person, args=(id_,)) for id_ in ids]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert behind == []


def test_what_one_process_asked_for_another_shows(redis):
    ours, theirs = (Deployments(redis, lambda _: None, {}) for _ in range(2))
    assert theirs.all() == []
    id_ = ours.launch(SCRIPTED, name="m", replicas=1, place=PLACE, limits=Limits(), once="1")
    assert [state.name for state in theirs.all()] == ["m"]
    ours.scale(id_, 4, by="U")
    assert [state.wanted for state in theirs.all()] == [4]
    assert theirs.get("m").wanted == 4
    ours.stop(id_, by="U")
    assert theirs.get("m").stopped_by == "U"


def test_a_name_is_looked_up_in_its_own_log_even_where_the_feed_is_lost(redis, shelf):
    requests = Deployments(redis, lambda _: None, {})
    id_ = shelf.start("m")
    assert requests.get("m").wanted == 1
    scaled(shelf, id_, 3)
    redis.delete("mixtral:feed")
    assert requests.get("m").wanted == 3


def test_an_emptied_redis_has_no_deployments_from_that_moment(redis, shelf):
    requests = Deployments(redis, lambda _: None, {})
    shelf.start("m")
    assert len(requests.all()) == 1
    redis.flushall()
    assert requests.all() == []
    with pytest.raises(NoSuchDeployment):
        requests.get("m")


def test_a_restored_redis_shows_its_deployments_from_that_moment(redis, shelf):
    requests = Deployments(redis, lambda _: None, {})
    id_ = shelf.start("m")
    before = saved(redis)
    redis.flushall()
    assert requests.all() == []
    restore(redis, before)
    assert [state.id for state in requests.all()] == [id_]


def test_a_name_whose_log_cannot_be_read_is_not_said_to_be_unknown(redis, shelf):
    requests = Deployments(redis, lambda _: None, {})
    odd, fine = shelf.start("odd"), shelf.start("fine")
    redis.xadd(f"mixtral:d:{odd}", {"e": "damaged"}, id="2-0")
    assert [state.id for state in requests.all()] == [fine]
    with pytest.raises(MsgspecError):
        requests.get("odd")


def test_a_clock_that_is_set_back_does_not_stop_the_comparison_with_the_logs(redis, shelf, projection):
    id_ = shelf.put("m", "http://127.0.0.1:1")
    projection.refresh(NOON)
    redis.delete(f"mixtral:d:{id_}", "mixtral:names")  # without an entry in the feed
    projection.refresh(NOON - CHECKED_EVERY)
    assert id_ not in projection.states


def test_a_look_at_one_deployment_reads_only_what_is_new(redis, shelf, monkeypatch):
    api, id_ = Deployments(redis, lambda _: None, {}), shelf.put("m", "http://10.0.0.1:8000")
    assert api.all()[0].id == id_
    scaled(shelf, id_, 2)
    read = []
    monkeypatch.setattr(Log, "read", lambda *_: read.append("the whole log"))
    found = api.by_id(id_)
    assert (found.wanted, found.version) == (2, Log(redis).version(id_))
    assert read == []


def test_a_look_at_one_that_ended_or_is_not_known_yet_reads_its_log(redis, shelf):
    api, id_ = Deployments(redis, lambda _: None, {}), shelf.put("m", "http://10.0.0.1:8000")
    assert api.by_id(id_).wanted == 1
    shelf.append(shelf.story(id_).stopped().ended())
    api.all()
    assert api.by_id(id_).ended is not None
    redis.delete(f"mixtral:d:{id_}")
    assert api.by_id(id_) is None
