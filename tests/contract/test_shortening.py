"""Logs that have grown long are shortened: readers, writers and older versions go on, and nothing is lost."""

import functools
import operator
from datetime import timedelta
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.builders.logs import Logs
from tests.worker_hosts import LEASE, NOON, TICK, Company
from workers.api import Deployments, NoSuchDeployment
from workers.control.shortening import UPDATED_WITHIN, Shortening
from workers.deployment import log as event_log
from workers.deployment import snapshot
from workers.deployment.attempt import Phase
from workers.deployment.events import SNAPSHOT_SCHEMA, AnyEvent, ScaleRequested, Snapshotted, Version
from workers.deployment.log import Log, stamp
from workers.deployment.past import Past
from workers.deployment.projection import Projection
from workers.deployment.state import fold
from workers.errors import UnreadableLog


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Every log is long after 5 events."""
    monkeypatch.setattr(snapshot, "SNAPSHOT_AFTER", 5)
    monkeypatch.setattr(snapshot, "EVENTS_PER_ATTEMPT", 0)


@pytest.fixture
def company(redis, monkeypatch):
    return Company(redis, monkeypatch)


@pytest.fixture
def worker(company):
    return company.host("h-a")


def shorten(log, now=NOON):
    """One look of the sweeper at a deployment, after every process was updated."""
    states = [fold(id_, log.read(id_)) for id_ in log.names().values()]
    shortening = Shortening(log, after=timedelta(0))
    shortening.look(states, now)


def kinds(log, id_):
    return [type(event).__name__ for event in log.read(id_)]


def alike(state):
    return replace(state, version=0, snapshot=0)


def test_the_state_and_the_numbers_of_the_events_go_on(redis):
    log, id_ = Log(redis), Logs(redis).put("m", "http://10.0.0.1:8000")
    before, version = fold(id_, log.read(id_)), log.version(id_)
    shorten(log)
    assert kinds(log, id_) == ["Snapshotted"]
    assert log.version(id_) == version + 1
    assert [int(at.split(b"-")[0]) for at, _ in redis.xrange(f"mixtral:d:{id_}")] == [version + 1]
    assert alike(fold(id_, log.read(id_))) == alike(before)
    assert log.append(id_, Version(version + 1), [ScaleRequested(**stamp(NOON), replicas=2, by="U1")])
    assert fold(id_, log.read(id_)).wanted == 2
    assert kinds(log, id_) == ["Snapshotted", "ScaleRequested"]


def test_every_reader_goes_on_from_what_it_had_read(redis):
    log, id_ = Log(redis), Logs(redis).put("m", "http://10.0.0.1:8000")
    projection, api = Projection(log), Deployments(redis, lambda _: None, {})
    projection.refresh(NOON)
    [before] = api.all()
    behind = fold(id_, log.read(id_)[:3])
    shorten(log)
    log.append(id_, log.version(id_), [ScaleRequested(**stamp(NOON), replicas=2, by="U1")])
    projection.refresh(NOON)
    found = [api.by_id(id_), api.get("m"), *api.all(), projection.states[id_], projection.newest(id_)]
    found.append(fold(id_, log.read(id_, after=behind.version), onto=behind))
    assert [state.wanted for state in found] == [2] * 6
    assert all(state.attempts == before.attempts and state.keys == before.keys for state in found)


def test_a_writer_that_has_not_seen_the_snapshot_is_refused_and_decides_again(redis):
    log, id_ = Log(redis), Logs(redis).put("m", "http://10.0.0.1:8000")
    seen = log.version(id_)
    shorten(log)
    assert not log.append(id_, seen, [ScaleRequested(**stamp(NOON), replicas=2, by="U1")])
    log.record(id_, seen, [ScaleRequested(**stamp(NOON), replicas=3, by="U1")])
    assert fold(id_, log.read(id_)).wanted == 3


def test_a_log_that_has_grown_meanwhile_is_left_as_it_is(redis, monkeypatch):
    log, id_ = Log(redis), Logs(redis).put("m", "http://10.0.0.1:8000")
    read = log.read

    def grown(*args):
        events = read(*args)
        Log(redis).append(id_, log.version(id_), [ScaleRequested(**stamp(NOON), replicas=2, by="U1")])
        return events

    states = [fold(id_, read(id_))]
    monkeypatch.setattr(log, "read", grown)
    Shortening(log, after=timedelta(0)).look(states, NOON)
    assert kinds(Log(redis), id_)[0] == "Requested"
    assert fold(id_, read(id_)).wanted == 2


@pytest.mark.parametrize("done", [False, True])
def test_a_process_that_dies_at_the_script_leaves_the_whole_log_or_the_snapshot(redis, monkeypatch, done):
    """The script is the only line that changes Redis: before it everything is as before, after it all is done."""
    log, id_ = Log(redis), Logs(redis).put("m", "http://10.0.0.1:8000")
    before, script = fold(id_, log.read(id_)), log._shorten

    def dies(*args):
        if done:
            script(*args)
        raise RedisConnectionError("killed")

    monkeypatch.setattr(log, "_shorten", dies)
    if done:
        shorten(log)  # the answer was lost: the event is looked for
    else:
        with pytest.raises(RedisConnectionError):
            shorten(log)
    assert (kinds(log, id_)[0] == "Snapshotted") is done
    assert alike(fold(id_, Log(redis).read(id_))) == alike(before)
    monkeypatch.undo()


def test_a_request_that_is_repeated_after_the_snapshot_has_no_effect(redis):
    id_ = Logs(redis).put("m", "http://10.0.0.1:8000")
    api = Deployments(redis, lambda _: None, {})
    api.scale(id_, 2, by="U1", once="press")
    api.scale(id_, 1, by="U1")
    shorten(Log(redis))
    assert api.scale(id_, 2, by="U1", once="press").wanted == 1
    assert kinds(Log(redis), id_) == ["Snapshotted"]


def test_what_a_deployment_has_cost_is_remembered_after_its_end(company, worker):
    id_ = company.launch()
    company.settle(worker)
    company.now += UPDATED_WITHIN
    company.settle(worker, rounds=2)
    company.requests.stop(id_, by="U1")
    company.settle(worker)
    assert kinds(company.log, id_)[0] == "Snapshotted"
    [past] = Past(company.log).since(NOON, 5)
    assert past.name == "m"
    assert past.attempts[0].machine is not None
    assert past.attempts[0].gone_at is not None


def test_machines_run_on_while_their_log_is_shortened_again_and_again(company, worker):
    id_ = company.launch()
    company.settle(worker)
    token = company.requests.by_id(id_).attempts[0].request.token
    for _ in range(12):
        company.now += LEASE / 3
        company.settle(worker, rounds=3)
    assert kinds(company.log, id_)[0] == "Snapshotted"
    assert company.cloud.running() == [token]
    assert company.attempts(id_) == [(1, Phase.READY)]
    company.requests.stop(id_, by="U1")
    company.settle(worker)
    assert company.cloud.running() == []
    with pytest.raises(NoSuchDeployment):
        company.requests.get("m")


def test_no_log_is_shortened_before_a_rolling_update_is_over(company, worker):
    id_ = company.launch()
    company.settle(worker, rounds=12)
    assert kinds(company.log, id_)[0] == "Requested"
    assert len(company.log.read(id_)) >= snapshot.SNAPSHOT_AFTER
    company.now += UPDATED_WITHIN
    company.settle(worker, rounds=2)
    assert kinds(company.log, id_)[0] == "Snapshotted"


def test_the_version_before_snapshots_ends_nothing_and_extends_the_leases(company, worker, monkeypatch):
    id_ = company.launch()
    company.settle(worker)
    company.now += UPDATED_WITHIN
    company.settle(worker, rounds=2)
    assert kinds(company.log, id_)[0] == "Snapshotted"
    with monkeypatch.context() as before:
        before.setattr(event_log, "_decode", without_snapshots())
        with pytest.raises(UnreadableLog):
            company.log.read(id_)
        older = company.host("h-b")
        for _ in range(6):
            company.now += LEASE / 3
            for _ in range(3):
                older.sweeper.sweep()
                company.now += TICK
        assert len(company.cloud.running()) == 1
    company.settle(worker)
    assert company.attempts(id_) == [(1, Phase.READY)]


def test_a_snapshot_of_the_version_after_is_left_alone(company, worker):
    id_ = company.launch()
    company.settle(worker)
    company.now += UPDATED_WITHIN
    company.settle(worker, rounds=2)
    [(position, fields)] = company.redis.xrange(f"mixtral:d:{id_}", count=1)
    there = msgspec.json.decode(fields[b"e"]) | {"schema": SNAPSHOT_SCHEMA + 1}
    rest = company.redis.xrange(f"mixtral:d:{id_}", min=f"({position.decode()}")
    company.redis.delete(f"mixtral:d:{id_}")
    for at, entry in [(position, {b"e": msgspec.json.encode(there)}), *rest]:
        company.redis.xadd(f"mixtral:d:{id_}", entry, id=at)
    for _ in range(6):
        company.now += LEASE / 3
        company.settle(worker, rounds=3)
    assert len(company.cloud.running()) == 1
    with pytest.raises(UnreadableLog):
        company.requests.by_id(id_)


def without_snapshots():
    """The decoder of the version before snapshots."""
    known = [kind for kind in get_args(AnyEvent) if kind is not Snapshotted]
    return msgspec.json.Decoder(functools.reduce(operator.or_, known)).decode
