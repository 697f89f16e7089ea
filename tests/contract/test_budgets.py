"""Budgets on a real Valkey: purchases that race, that are refused, and that crash, never overdraw a budget."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes.driver import FakeDriver
from workers.api import Deployments
from workers.clouds.driver import DriverError, Refused
from workers.control.advance import Advance
from workers.control.purchase_budgets import PurchaseBudgets
from workers.deployment.attempt import Phase
from workers.deployment.ledger_reader import Ledger
from workers.deployment.log import Log
from workers.placement.limits import Limits
from workers.placement.refusals import Scope as RefusalScope
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope
from workers.policy.schema import Policy
from workers.policy.stored import POLICY, StoredPolicy

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PRICE = Decimal("7.20")


class Office:
    """Requests, workers in threads, and a cloud in memory, on a clock that tests move."""

    def __init__(self, redis):
        self.now = NOON
        self.redis = redis
        self.cloud = FakeDriver("fake", clock=lambda: self.now)
        self.requests = Deployments(redis, lambda _: None, {"fake": self.cloud})
        self.offers = [offer("fake here-1", PRICE, gpu="")]

    def budget(self, **budget):
        StoredPolicy(self.redis).put(
            Policy(budgets=BudgetPolicy(limits=(Budget(**{"scope": BudgetScope.INSTALLATION} | budget),)))
        )

    def worker(self):
        return Advance(
            redis=self.redis,
            log=Log(self.redis),
            drivers={"fake": self.cloud},
            ladder=lambda *_: (ladder(*self.offers), ""),
            environ={},
            installation="i-1",
            machine_lease=timedelta(hours=24),
            control_lease=timedelta(seconds=10),
            clock=lambda: self.now,
        )

    def launch(self, name, replicas=1, place=PLACE):
        return self.requests.launch(SCRIPTED, name=name, replicas=replicas, place=place, limits=Limits(), once=name)

    def state(self, id_):
        return self.requests.by_id(id_)


@pytest.fixture
def office(redis):
    return Office(redis)


def at_once(*calls):
    gate = threading.Barrier(len(calls))
    failed = []

    def run(call):
        gate.wait()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_20_launches_at_once_on_a_budget_for_3_buy_3(office):
    office.budget(day=3 * PRICE)
    ids = [office.launch(f"m{number}") for number in range(20)]
    at_once(*(lambda id_=id_: office.worker()(id_) for id_ in ids))
    assert len(office.cloud.bought) == 3
    states = [office.state(id_) for id_ in ids]
    assert sum(state.ended is None for state in states) == 3
    [why] = {state.ended.failed for state in states if state.ended}
    assert "the installation (21.60 USD per day), 0.00 USD are used and 21.60 USD reserved" in why
    assert "an hour of the cheapest machine costs 7.20 USD" in why
    assert "ends on 2026-11-02 at 00:00 (UTC)" in why


def test_a_refused_offer_gives_its_reservation_back(office):
    office.budget(day=PRICE)
    office.cloud.refuse = lambda _: Refused("The zone is full.", code="Full", scope=RefusalScope.ZONE)
    id_ = office.launch("m")
    office.worker()(id_)
    assert not Ledger(office.redis).book().reserved
    office.cloud.refuse = lambda _: None
    other = office.launch("other")
    office.worker()(other)
    assert len(office.state(other).live) == 1


def test_a_deployment_that_runs_stays_as_it_is_and_is_tried_again(office):
    office.budget(day=PRICE)
    id_ = office.launch("m", replicas=2)
    office.worker()(id_)
    state = office.state(id_)
    assert [a.phase for a in state.attempts] == [Phase.STARTING]
    assert "reserved" in state.exhausted.why
    office.budget(day=4 * PRICE)  # an admin raises it
    office.now += timedelta(minutes=2)
    office.worker()(id_)
    assert len(office.state(id_).live) == 2


def test_a_machine_without_a_known_price_is_not_bought_on_a_budget(office):
    office.budget(day=PRICE)
    office.offers = [offer("fake here-1", None, gpu="")]
    id_ = office.launch("m")
    office.worker()(id_)
    assert "no price is known" in office.state(id_).ended.failed
    assert not office.cloud.bought


def test_a_machine_that_runs_into_the_next_day_uses_the_budget_of_that_day(office):
    office.budget(day=PRICE)
    office.worker()(office.launch("m"))
    office.now += timedelta(hours=12)  # midnight
    office.worker()(office.launch("next-day"))
    assert len(office.cloud.bought) == 2
    office.worker()(third := office.launch("third"))
    assert office.state(third).ended is not None


def test_a_budget_of_a_person_does_not_limit_another(office):
    office.budget(scope=BudgetScope.PERSON, day=PRICE)
    office.worker()(office.launch("m"))
    office.worker()(mine := office.launch("again"))
    assert "the launcher" in office.state(mine).ended.failed
    office.worker()(theirs := office.launch("theirs", place=replace(PLACE, user="U2")))
    assert office.state(theirs).ended is None


def test_without_a_budget_the_ledger_is_not_read(office):
    office.worker()(id_ := office.launch("m"))
    assert len(office.state(id_).live) == 1


def test_a_purchase_that_another_one_overtakes_is_decided_again(office, monkeypatch):
    """The other worker buys between this one's look at the ledger and its intent."""
    office.budget(day=PRICE)
    slow, fast = office.launch("slow"), office.launch("fast")
    decide, others = PurchaseBudgets.decide, [fast]

    def overtaken(self, *args):
        decided = decide(self, *args)
        while others:
            office.worker()(others.pop())
        return decided

    monkeypatch.setattr(PurchaseBudgets, "decide", overtaken)
    office.worker()(slow)
    assert len(office.cloud.bought) == 1
    assert office.state(slow).ended is not None


def test_a_machine_whose_answer_was_lost_is_booked_before_it_ends(office):
    """The worker died after the call to the cloud, and the deployment was stopped before another one asked."""
    id_ = office.launch("m")
    office.cloud.lose_answers = True
    with pytest.raises(DriverError):
        office.worker()(id_)
    office.cloud.lose_answers = False
    office.now += timedelta(minutes=30)
    office.requests.stop(id_, by="U1")
    office.worker()(id_)
    assert not office.cloud.running()
    assert Ledger(office.redis).book().total(None, office.now) == PRICE / 2


def test_a_worker_that_cannot_read_the_policy_of_a_newer_version_buys_nothing_and_says_so(office):
    office.redis.set(POLICY, b'{"budgets": {"limits": [{"scope": "a scope of a newer version", "month": "5"}]}}')
    id_ = office.launch("m")
    office.worker()(id_)
    assert office.cloud.bought == []
    assert "A newer version of mixtral-bot stored the policy" in office.state(id_).ended.failed


def test_a_worker_whose_host_lacks_the_zone_of_the_budgets_buys_nothing_and_says_so(office):
    """The bot has checked the policy on another host."""
    limits = (Budget(scope=BudgetScope.INSTALLATION, day=Decimal(20)),)
    StoredPolicy(office.redis).put(Policy(budgets=BudgetPolicy(zone="Europe/Atlantis", limits=limits)))
    id_ = office.launch("m")
    office.worker()(id_)
    assert office.cloud.bought == []
    assert "does not know the time zone Europe/Atlantis" in office.state(id_).ended.failed
