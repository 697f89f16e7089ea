"""Several worker hosts, each with a home of its own, on one real Valkey: no machine is written off."""

from datetime import timedelta

import pytest

from tests.worker_hosts import LEASE, TICK, Company
from workers.deployment.attempt import Phase
from workers.deployment.events import MachineCreated, MachineGone
from workers.deployment.ownership import ENDED_ITSELF


@pytest.fixture
def company(redis, monkeypatch):
    return Company(redis, monkeypatch)


def test_a_second_host_neither_writes_off_a_cloud_machine_nor_buys_it_again(company):
    first, second = company.host("h-a"), company.host("h-b")
    id_ = company.launch()
    company.settle(first)
    company.settle(second)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.cloud.running()) == 1


def test_a_host_with_another_installation_s_id_neither_judges_buys_nor_ends(company):
    first, stranger = company.host("h-a"), company.host("h-b", installation="i-2")
    id_ = company.launch()
    company.settle(first)
    del company.hosts["h-a"]
    company.settle(stranger, rounds=20)
    assert company.attempts(id_) == [(1, Phase.READY)]
    company.requests.stop(id_, by="U0ROBIN0001")
    company.settle(stranger, rounds=20)
    assert company.attempts(id_) == [(1, Phase.SHUTTING_DOWN)]
    assert len(company.cloud.running()) == 1
    assert not company.requests.by_id(id_).ended


def test_a_stranger_s_start_that_takes_too_long_is_not_bought_again(company):
    first, stranger = company.host("h-a"), company.host("h-b", installation="i-2")
    id_ = company.launch()
    first.advance(company.nudged.pop())
    company.now += timedelta(hours=3)
    del company.hosts["h-a"]
    company.settle(stranger)
    assert company.attempts(id_) == [(1, Phase.STARTING)]
    assert len(company.cloud.requests) == 1


def test_after_its_lease_a_stranger_s_machine_no_longer_holds_up_the_end(company):
    first, stranger = company.host("h-a"), company.host("h-b", installation="i-2")
    id_ = company.launch()
    company.settle(first)
    company.requests.stop(id_, by="U0ROBIN0001")
    company.now += LEASE + ENDED_ITSELF + TICK
    company.settle(stranger)
    assert company.requests.by_id(id_).ended
    assert ("terminate", "fake") not in company.cloud.calls
    assert "i-1" in company.events(id_, MachineGone)[0].why


def test_a_local_machine_is_observed_by_its_own_host_alone(company):
    first, second = company.host("h-a", rung="local here-1"), company.host("h-b", rung="local here-1")
    id_ = company.launch()
    first.advance(company.nudged.pop())
    company.settle(second)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert company.requests.by_id(id_).attempts[0].request.host == "h-a"
    assert second.local.requests == {}
    first.local.end(company.requests.by_id(id_).attempts[0].request.token)
    second.sweeper.sweep()
    assert company.events(id_, MachineGone) == []
    company.settle(second, rounds=1)
    assert company.events(id_, MachineGone)[0].why == "engine exited with status 1"


def test_an_end_is_forwarded_to_the_host_that_holds_the_machine(company):
    first, second = company.host("h-a", rung="local here-1"), company.host("h-b")
    id_ = company.launch()
    company.settle(first)
    company.requests.stop(id_, by="U0ROBIN0001")
    second.advance(company.nudged.pop())
    assert len(first.local.running()) == 1
    assert not [call for call in second.local.calls if call[0] == "terminate"]
    assert company.forwarded == [(id_, "h-a")]
    company.run_forwarded()
    assert first.local.running() == []
    assert company.requests.by_id(id_).ended


def test_a_creation_that_was_interrupted_is_repeated_by_the_host_that_intended_it(company):
    first, second = company.host("h-a", rung="local here-1"), company.host("h-b", rung="local here-1")
    id_ = company.launch()
    first.local.lose_answers = True
    with pytest.raises(Exception, match="broke before"):
        first.advance(company.nudged.pop())
    first.local.lose_answers = False
    second.advance(id_)
    assert second.local.requests == {}
    company.run_forwarded()
    assert [e.attempt for e in company.events(id_, MachineCreated)] == [1]


def test_a_local_machine_of_a_host_that_stays_away_counts_as_gone_after_its_lease(company):
    first, second = company.host("h-a", rung="local here-1"), company.host("h-b")
    id_ = company.launch()
    company.settle(first)
    del company.hosts["h-a"]
    company.settle(second)
    assert company.attempts(id_) == [(1, Phase.READY)]
    company.now += LEASE + ENDED_ITSELF
    company.settle(second)
    assert company.events(id_, MachineGone)[0].why == "its lease ran out, because no worker extended it"
    assert company.attempts(id_)[-1] == (2, Phase.READY)


def test_a_local_machine_of_an_old_log_is_judged_by_the_host_that_finds_it(company):
    first, second = company.host("h-a"), company.host("h-b")
    old = company.host("", rung="local here-1")
    id_ = company.launch()
    old.advance(company.nudged.pop())
    first.local = old.local
    company.hosts.pop("")
    company.settle(second)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert company.events(id_, MachineGone) == []
