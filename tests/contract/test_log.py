"""The event log on a real Valkey."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.events import requested
from workers.deployment import log as log_module
from workers.deployment.events import DeploymentEnded, DeploymentId, Requested, ScaleRequested
from workers.deployment.log import KEYS, NAMES, Log, NameTaken, new_id


def stamp():
    return log_module.stamp(datetime.now(UTC))


@pytest.fixture
def log(redis):
    return Log(redis)


def opened(log, name="m", once="t1"):
    return log.open(new_id(), requested(name), "mxk_key", once)


def test_a_launch_takes_its_name_and_gets_its_key(log):
    id_ = opened(log)
    assert log.names() == {"m": id_}
    assert log.key(id_) == "mxk_key"
    assert [type(e) for e in log.read(id_)] == [Requested]


def test_the_same_trigger_starts_nothing_twice(log):
    assert opened(log, once="t1") == opened(log, once="t1")
    assert len(log.names()) == 1


def test_a_taken_name_points_to_its_holder(log):
    holder = opened(log, once="t1")
    with pytest.raises(NameTaken) as taken:
        opened(log, once="t2")
    assert taken.value.holder == holder


def test_an_append_at_another_version_is_refused_whole(log):
    id_ = opened(log)
    two = [ScaleRequested(**stamp(), replicas=2, by="U1"), ScaleRequested(**stamp(), replicas=3, by="U1")]
    assert log.append(id_, 1, two)
    assert not log.append(id_, 1, [ScaleRequested(**stamp(), replicas=9, by="U1")])
    assert not log.append(id_, 7, [ScaleRequested(**stamp(), replicas=9, by="U1")])
    assert [e.replicas for e in log.read(id_)] == [1, 2, 3]


def test_an_append_whose_answer_was_lost_is_recognised(log):
    id_ = opened(log)
    event = ScaleRequested(**stamp(), replicas=2, by="U1")
    assert log.append(id_, 1, [event])
    assert log.append(id_, 1, [event])
    assert log.version(id_) == 2


def test_a_deleted_log_is_not_continued(log, redis):
    id_ = opened(log)
    redis.delete(f"mixtral:d:{id_}")
    assert not log.append(id_, 1, [ScaleRequested(**stamp(), replicas=2, by="U1")])
    log.record(id_, 1, [ScaleRequested(**stamp(), replicas=2, by="U1")])
    assert log.read(id_) == []


def test_of_many_writers_each_fact_is_in_once(log):
    id_ = opened(log)
    facts = [ScaleRequested(**stamp(), replicas=n, by="U1") for n in range(24)]
    threads = [threading.Thread(target=log.record, args=(id_, 1, [fact])) for fact in facts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(e.replicas for e in log.read(id_, after=1)) == list(range(24))
    assert log.version(id_) == 25


def test_the_end_frees_the_name_and_destroys_the_key(log, redis):
    id_ = opened(log)
    assert log.close(id_, "m", 1, DeploymentEnded(**stamp()))
    assert redis.hlen(NAMES) == redis.hlen(KEYS) == 0
    assert redis.ttl(f"mixtral:d:{id_}") > 0
    assert opened(log, once="t2") != id_


def test_the_end_of_one_does_not_free_the_name_of_another(log):
    first = opened(log)
    assert log.close(first, "m", 1, DeploymentEnded(**stamp()))
    second = opened(log, once="t2")
    log.close(first, "m", 2, DeploymentEnded(**stamp()))
    assert log.names() == {"m": second}


def test_the_feed_tells_of_every_append(log):
    before = log.feed_end()
    id_ = opened(log)
    log.append(id_, 1, [ScaleRequested(**stamp(), replicas=2, by="U1")])
    heard = list(log.follow(before, timedelta(seconds=1)))
    assert [d for _, d in heard] == [id_, id_]
    assert list(log.follow(heard[-1][0], timedelta())) == []


def test_unknown_deployments_are_empty(log):
    assert log.read(DeploymentId("d0")) == []
    assert log.key(DeploymentId("d0")) is None
    assert log.version(DeploymentId("d0")) == 0
