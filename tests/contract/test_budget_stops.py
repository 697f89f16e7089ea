"""A budget with `then: stop`, in the control loop: what runs ends 15 minutes after it is used up, unless it is kept."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.contract.test_control_loop import Loop
from workers.deployment.events import EndScheduled
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope, Then
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy


@pytest.fixture
def loop(redis, monkeypatch):
    made = Loop(redis, monkeypatch)
    made.probes = {"http://fake.invalid:8000": None}
    return made


def budget(loop, day, then=Then.STOP):
    limits = (Budget(scope=BudgetScope.DEPLOYMENT, day=Decimal(day), then=then),)
    StoredPolicy(loop.redis).put(Policy(budgets=BudgetPolicy(limits=limits)))


def ends(loop, id_):
    return [event for event in loop.log.read(id_) if isinstance(event, EndScheduled)]


def test_what_runs_ends_15_minutes_after_the_budget_is_used_up(loop):
    budget(loop, 2)
    id_ = loop.launch()  # 1 USD/h
    loop.settle()
    loop.now += timedelta(hours=1, minutes=58)
    loop.settle()
    assert loop.state(id_).until is None
    loop.now += timedelta(minutes=3)
    loop.settle()
    assert loop.state(id_).end_announced is not None
    assert not loop.state(id_).ended
    loop.now += timedelta(minutes=16)
    loop.settle()
    assert loop.state(id_).ended.failed is None
    assert not loop.cloud.running()
    assert len(ends(loop, id_)) == 1


def test_one_who_may_keeps_it_and_it_is_not_ended_again_that_day(loop):
    budget(loop, 100)
    id_ = loop.launch()
    loop.settle()
    loop.now += timedelta(minutes=30)
    budget(loop, "0.10")  # an admin lowers the budget below what runs
    loop.settle()
    [first] = ends(loop, id_)
    assert first.until >= loop.now + timedelta(minutes=13)
    kept = loop.requests.keep_until(id_, first.until + timedelta(hours=4), by="U1")
    loop.restart()
    loop.settle()
    loop.now += timedelta(hours=1)
    loop.settle()
    assert loop.state(id_).until == kept.until
    assert not loop.state(id_).ended
    loop.now = first.at.replace(hour=0) + timedelta(days=1, hours=2)
    loop.requests.keep_until(id_, loop.now + timedelta(days=1), by="U1")
    loop.settle()
    assert len([end for end in ends(loop, id_) if not end.by]) == 2  # of the next day


def test_what_runs_goes_on_if_the_budget_only_warns(loop):
    budget(loop, 1, then=Then.WARN)
    id_ = loop.launch()
    loop.settle()
    loop.now += timedelta(hours=3)
    loop.settle()
    assert loop.state(id_).until is None
    assert loop.cloud.running()


def test_just_before_the_budget_of_the_next_day_nothing_is_ended(loop):
    budget(loop, 11)
    id_ = loop.launch()
    loop.settle()
    loop.now += timedelta(hours=11, minutes=50)  # 23:51, 11.85 USD
    loop.settle()
    assert loop.state(id_).until is None


def test_one_who_keeps_it_keeps_it_from_each_of_two_budgets_that_are_used_up(loop):
    id_ = loop.launch()
    loop.settle()
    loop.now += timedelta(minutes=30)
    scopes = (BudgetScope.DEPLOYMENT, BudgetScope.INSTALLATION)
    limits = tuple(Budget(scope=scope, day=Decimal("0.10"), month=Decimal("0.20"), then=Then.STOP) for scope in scopes)
    StoredPolicy(loop.redis).put(Policy(budgets=BudgetPolicy(limits=limits)))
    loop.settle()
    ending = ends(loop, id_)[-1].until
    kept = loop.requests.keep_until(id_, ending + timedelta(hours=4), by="U1")
    loop.settle()
    loop.now += timedelta(hours=1)
    loop.settle()
    assert loop.state(id_).until == kept.until
    assert not loop.state(id_).ended


def test_what_was_scheduled_is_forgotten_with_its_deployment_and_its_window(loop):
    stops = loop.sweeper._budget_stops
    budget(loop, 2)
    for name in ("a", "b"):
        loop.launch(name)
    loop.settle()
    loop.now += timedelta(hours=2)
    loop.settle()
    for id_ in list(loop.sweeper._recorder.states):
        loop.requests.keep_until(id_, loop.now + timedelta(days=3), by="U1")
    loop.now += timedelta(minutes=1)
    loop.settle()
    first = set(stops._scheduled)
    assert len(first) == 2
    loop.now += timedelta(days=1)
    loop.settle()
    loop.now += timedelta(minutes=1)
    loop.settle()
    assert not first & stops._scheduled
    StoredPolicy(loop.redis).put(Policy())
    loop.now += timedelta(minutes=1)
    loop.settle()
    assert stops._scheduled == set()
