"""A log with an event that only a newer version can read: this version keeps its machines, and decides nothing."""

import logging
from datetime import timedelta

import msgspec
import pytest

from bot.views.card import card
from bot.views.status import detail, overview
from tests.worker_hosts import LEASE, NOON, Company
from workers.api import WrittenByNewer
from workers.deployment.attempt import Phase
from workers.deployment.events import LeaseExtended, MachineGone
from workers.deployment.log import stamp
from workers.deployment.projection import Projection
from workers.errors import WorkersError


@pytest.fixture
def company(redis, monkeypatch):
    return Company(redis, monkeypatch)


@pytest.fixture
def worker(company):
    return company.host("h-a")


def wrote(company, id_, **event):
    """What a newer version appends: an event of a kind that this one does not know."""
    newer = {"type": "MachineAdopted", "event_id": "newer", "at": company.now.isoformat()} | event
    version = company.log.version(id_) + 1
    company.redis.xadd(f"mixtral:d:{id_}", {"e": msgspec.json.encode(newer)}, id=f"{version}-0")
    company.redis.xadd("mixtral:feed", {"d": id_, "v": version})


def newer(company, worker):
    id_ = company.launch()
    company.settle(worker)
    wrote(company, id_)
    return id_


def text(message):
    return msgspec.json.encode([message.text, message.blocks]).decode()


def test_its_machines_are_neither_ended_nor_replaced_and_their_leases_are_extended(company, worker):
    id_ = newer(company, worker)
    token = company.requests.by_id(id_).attempts[0].request.token
    before = len(company.events(id_, LeaseExtended))
    for _ in range(8):
        company.now += LEASE / 3
        company.settle(worker, rounds=3)
    assert company.cloud.running() == [token]
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.events(id_, LeaseExtended)) > before + 2


def test_a_machine_that_only_the_newer_version_knows_is_kept_alive(company, worker):
    id_ = newer(company, worker)
    known = company.requests.by_id(id_).attempts[0].request
    company.cloud.create(msgspec.structs.replace(known, token="d-newer", attempt=7), {})
    for _ in range(6):
        company.now += LEASE / 3
        company.settle(worker, rounds=3)
    assert "d-newer" in company.cloud.running()


def test_a_machine_that_fails_is_left_to_the_newer_version(company, worker):
    id_ = newer(company, worker)
    company.cloud.end(company.requests.by_id(id_).attempts[0].request.token)
    company.settle(worker, rounds=12)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.cloud.requests) == 1


def test_what_is_known_after_it_still_counts(company, worker):
    id_ = newer(company, worker)
    company.settle(worker)
    state = company.requests.by_id(id_)
    assert (state.newer, state.version) == ("MachineAdopted", company.log.version(id_))
    assert len(state.ready) == 1


def test_a_known_event_with_an_unknown_value_is_one_of_a_newer_version_too(company, worker):
    id_ = company.launch()
    company.settle(worker)
    wrote(company, id_, type="ReplicaGivenUp", attempt=1, why="moved", failure="moved away")
    assert company.requests.by_id(id_).newer == "ReplicaGivenUp"
    company.settle(worker)
    assert len(company.cloud.running()) == 1


def test_down_and_scale_are_refused_with_the_version_and_the_mend(company, worker):
    id_ = newer(company, worker)
    for change in (lambda: company.requests.stop(id_, by="U1"), lambda: company.requests.scale(id_, 3, by="U1")):
        with pytest.raises(WrittenByNewer, match="a newer version of mixtral-bot wrote MachineAdopted") as refused:
            change()
        assert "Upgrade the bot, the workers" in str(refused.value)
    with pytest.raises(WrittenByNewer):
        company.requests.issue_key(id_, user="U2", by="U1")


def test_card_and_status_say_so_and_that_money_may_be_missing(company, worker):
    id_ = newer(company, worker)
    states = company.requests.all()
    assert [state.id for state in states] == [id_]
    shown = text(overview(states, NOON))
    assert "at least" in shown
    assert "its log has events of a newer version" in shown
    for message in (card(states[0], NOON), detail(states[0], NOON)):
        assert "wrote `MachineAdopted` to the log" in text(message)
        assert "machines that cost money may be missing" in text(message)


def test_it_is_logged_once_a_minute_and_without_a_traceback(company, worker, caplog):
    newer(company, worker)
    projection = Projection(company.log)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for seconds in range(125):
            company.redis.xadd("mixtral:feed", {"d": company.requests.all()[0].id})
            projection.refresh(NOON + timedelta(seconds=seconds))
    said = [r for r in caplog.records if "wrote MachineAdopted" in r.getMessage()]
    assert len(said) <= 4 + 1  # this projection's and, once, the one of `requests`
    assert not any(r.exc_info for r in caplog.records)


def test_a_log_that_begins_with_a_newer_event_keeps_its_machine_and_is_no_incident(company, worker):
    id_ = company.launch()
    company.settle(worker)
    token = company.requests.by_id(id_).attempts[0].request.token
    company.redis.delete(f"mixtral:d:{id_}")
    company.redis.xadd(f"mixtral:d:{id_}", {"e": '{"type":"Requested","recipe":7}'}, id="1-0")
    for _ in range(6):
        company.now += LEASE / 3
        company.settle(worker, rounds=40)
    assert company.cloud.running() == [token]
    with pytest.raises(WorkersError, match="a newer version of mixtral-bot wrote it"):
        company.requests.get("m")


def test_what_was_asked_for_before_it_is_not_begun(company, worker):
    id_ = company.launch()
    company.settle(worker)
    company.requests.scale(id_, 3, by="U1")
    wrote(company, id_)
    company.settle(worker)
    assert company.attempts(id_) == [(1, Phase.READY)]
    assert len(company.cloud.requests) == 1


def test_a_machine_that_an_attempt_has_left_behind_is_not_ended(company, worker):
    id_ = company.launch()
    company.settle(worker)
    state = company.requests.by_id(id_)
    company.log.record(id_, state.version, [MachineGone(**stamp(company.now), attempt=1, why="its machine ended")])
    wrote(company, id_)
    company.settle(worker, rounds=40)
    assert company.cloud.running() == [state.attempts[0].request.token]


def test_a_deployment_that_was_to_end_before_says_that_this_version_ends_no_machine(company, worker):
    id_ = company.launch()
    company.settle(worker)
    company.requests.stop(id_, by="U1")
    wrote(company, id_)
    company.settle(worker)
    assert len(company.cloud.running()) == 1
    shown = text(card(company.requests.by_id(id_), company.now))
    assert "This version ends none of them: without the newer one, they cost money until their leases run out" in shown
    company.now += LEASE
    assert company.cloud.running() == []
