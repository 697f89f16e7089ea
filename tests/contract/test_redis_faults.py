"""A real Valkey that is read-only, full or forbids writes: nothing is bought twice, and people hear cause and mend."""

import io
import logging

import pytest
from redis.exceptions import RedisError

from bot.cli import operate_command
from bot.commands.context import Caller
from bot.commands.settle import settle
from bot.slack.message import Message
from tests.redis_faults import REFUSING, fault, set_fault
from tests.worker_hosts import LEASE, Company
from workers.deployment.attempt import Phase
from workers.deployment.audit_stream import AuditStream
from workers.deployment.events import LaunchIntended, LeaseExtended
from workers.heartbeats import WorkerPart, read

ROBIN = Caller(team="T1", channel="C1", user="U0ROBIN0001", once="1.2.3")

faults = pytest.mark.parametrize("name", REFUSING)


@pytest.fixture
def company(redis, monkeypatch):
    yield Company(redis, monkeypatch)
    for name in REFUSING:
        set_fault(redis, name, on=False)


def said(message):
    return message.text


@faults
def test_a_command_is_answered_with_cause_consequence_and_mend(company, name):
    def launch():
        company.launch()
        return Message("launched")

    cause, mend = REFUSING[name]
    with fault(company.redis, name):
        answer = said(settle("launch", ROBIN, launch, AuditStream(company.redis)))
        assert company.log.names() == {}
    assert answer.startswith(f"{cause[0].upper()}{cause[1:]}, so this was not carried out, or only in part.")
    assert "nothing is launched, scaled or ended until the operator mends it" in answer
    assert mend in answer
    assert "does not respond" not in answer
    assert said(settle("launch", ROBIN, launch, AuditStream(company.redis))) == "launched"


@faults
def test_the_command_line_shows_what_can_be_read_and_refuses_the_rest_with_the_mend(
    company, valkey_url, name, tmp_path
):
    company.launch()
    environ = {"REDIS_URL": valkey_url, "MIXTRAL_HOME": str(tmp_path), "MIXTRAL_CLOUDS": "local"}

    def run(work, what):
        out, err = io.StringIO(), io.StringIO()
        return operate_command.run(environ, work, out, err, what), out.getvalue(), err.getvalue()

    run(operate_command.status(as_json=False), "status")  # the first one stores the installation's id
    cause, mend = REFUSING[name]
    with fault(company.redis, name):
        exit_status, out, err = run(operate_command.status(as_json=False), "status")
        assert exit_status == 0
        assert "m  " in out
        assert "the audit lacks this request" in err
        exit_status, _, err = run(operate_command.scale("m", 2), "scale")
    assert exit_status == 1
    assert cause[1:] in err
    assert mend[1:] in err
    assert "the audit lacks" not in err


@faults
def test_nothing_is_bought_while_no_intent_can_be_stored(company, name):
    worker, id_ = company.host("h-a"), company.launch()
    with fault(company.redis, name):
        for _ in range(3):
            with pytest.raises(RedisError):
                worker.advance(id_)
            with pytest.raises(RedisError):
                worker.sweeper._lease.acquire()  # without it, no sweep begins
    assert company.cloud.bought == []
    company.settle(worker)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.cloud.bought) == 1


@faults
def test_a_machine_whose_creation_cannot_be_stored_is_kept_and_no_second_is_bought(company, name, monkeypatch):
    worker, id_ = company.host("h-a"), company.launch()
    create = company.cloud.create

    def then_fails(*arguments):
        made = create(*arguments)
        set_fault(company.redis, name, on=True)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(company.cloud, "create", then_fails)
        with pytest.raises(RedisError):
            worker.advance(id_)
    assert len(company.cloud.running()) == 1
    for _ in range(3):
        with pytest.raises(RedisError):
            worker.advance(id_)
    assert len(company.cloud.bought) == 1
    set_fault(company.redis, name, on=False)
    company.redis.delete(f"mixtral:lease:d:{id_}")  # it could not be released, and expires within seconds
    company.settle(worker)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.cloud.bought) == len(company.events(id_, LaunchIntended)) == 1


@faults
def test_a_machine_outlives_a_fault_that_is_shorter_than_its_lease_and_else_ends_itself(company, name):
    worker, id_ = company.host("h-a"), company.launch()
    company.settle(worker)
    with fault(company.redis, name):
        company.now += LEASE * 0.9
    company.settle(worker, rounds=3)
    assert company.events(id_, LeaseExtended)
    assert len(company.cloud.running()) == 1
    with fault(company.redis, name):
        company.now += LEASE * 1.1
        assert company.cloud.running() == []


def test_a_sweep_is_a_heartbeat_and_one_that_fails_is_none(company):
    sweeper = company.host("h-a").sweeper
    with fault(company.redis, "read-only"):
        sweeper.run(Rounds(2))
    assert read(company.redis) == []
    sweeper.sweep()
    assert [(beat.part, beat.is_late) for beat in read(company.redis)] == [(WorkerPart.SWEEPER, False)]


def test_a_sweeper_logs_each_cause_once(company, caplog):
    sweeper = company.host("h-a").sweeper
    stop = Rounds(5)
    with fault(company.redis, "read-only"), caplog.at_level(logging.WARNING):
        sweeper.run(stop)
    (said_once,) = [r.getMessage() for r in caplog.records if "the sweep is repeated" in r.getMessage()]
    assert "without further messages: Redis is a read-only replica" in said_once


class Rounds:
    """A stop event that is set after some waits."""

    def __init__(self, rounds):
        self._left = rounds

    def is_set(self):
        return self._left <= 0

    def wait(self, _):
        self._left -= 1
