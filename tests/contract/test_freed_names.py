"""A name whose log is gone is free again once its machines must have ended themselves, and not before."""

from datetime import timedelta

import pytest

from tests.worker_hosts import LEASE, NOON, Company
from workers.api import EventLogGone, NoSuchDeployment
from workers.control.freeing import is_over
from workers.deployment.ledger_reader import Ledger


@pytest.fixture
def company(redis, monkeypatch):
    return Company(redis, monkeypatch)


@pytest.fixture
def lost(company):
    """A deployment with a machine that runs, whose log has vanished."""
    worker = company.host("h-a")
    id_ = company.launch()
    redate(company, id_)
    company.settle(worker)
    worker.sweeper.complete_ledger()
    company.redis.delete(f"mixtral:d:{id_}")
    return company, worker, id_


def redate(company, id_):
    """The request at the company's time: its bot has the real clock."""
    [(position, fields)] = company.redis.xrange("mixtral:ledger")
    company.redis.delete("mixtral:ledger")
    real = company.requests.by_id(id_).requested_at
    entry = fields[b"e"].replace(real.strftime("%Y-%m-%dT%H").encode(), NOON.strftime("%Y-%m-%dT%H").encode())
    company.redis.xadd("mixtral:ledger", {"e": entry}, id=position)


def later(company, worker, by):
    company.now += by
    company.settle(worker, rounds=2)
    worker.sweeper.complete_ledger()


def test_while_a_machine_may_run_the_name_is_taken_and_reported(lost):
    company, worker, _ = lost
    for _ in range(5):
        later(company, worker, LEASE / 4)
        assert company.requests.lost() == ("m",)
        with pytest.raises(EventLogGone):
            company.requests.get("m")


def test_two_leases_later_the_name_and_its_keys_are_free(lost):
    company, worker, id_ = lost
    for _ in range(5):
        later(company, worker, LEASE / 2)
    assert company.cloud.running() == []
    assert company.requests.lost() == ()
    assert company.requests.key(id_) is None
    with pytest.raises(NoSuchDeployment):
        company.requests.get("m")
    assert company.launch() is not None


def test_the_name_stays_taken_if_its_log_comes_back(lost):
    company, _, id_ = lost
    company.redis.xadd(f"mixtral:d:{id_}", {"e": b"{}"}, id="1-0")
    assert not company.log.free(id_, "m")
    assert company.log.names() == {"m": id_}


def test_a_deployment_that_the_ledger_does_not_know_is_not_over(redis):
    assert not is_over(Ledger(redis).book(), "d-unknown", NOON + timedelta(days=99))
