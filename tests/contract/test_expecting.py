"""A driver that prepares launches is told before each request what a refusal of it leads to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.builders.events import PLACE
from tests.builders.offers import ladder, offer
from tests.builders.recipes import SCRIPTED
from tests.fakes.driver import FakeDriver
from workers.api import Deployments
from workers.clouds.driver import DriverError, Refused
from workers.control.advance import Advance
from workers.deployment.log import Log
from workers.placement.limits import Limits
from workers.placement.refusals import Scope
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope, Then
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
RUNGS = [offer(f"fake r{n}-a", usd, region=f"r{n}", gpu="") for n, usd in ((1, 60), (2, 70), (3, 2000))]


class PreparingDriver(FakeDriver):
    """It refuses all offers, and keeps what it was told."""

    def __init__(self):
        super().__init__(clock=lambda: NOW)
        self.told = {}
        self.finished = 0
        self.refuse = lambda _: Refused("no capacity", code="full", scope=Scope.ZONE)

    def expect(self, request, ahead):
        self.told[request.token] = ahead

    def hopeless(self, request, ladder):
        return ()

    def finish(self):
        self.finished += 1


@pytest.fixture
def cloud():
    return PreparingDriver()


@pytest.fixture
def launch(redis, cloud):
    def launch(*, lease=timedelta(hours=24)):
        requests = Deployments(redis, lambda _: None, {"fake": cloud})
        id_ = requests.launch(SCRIPTED, name="m", replicas=1, place=PLACE, limits=Limits(), once="m")
        advance = Advance(
            redis=redis,
            log=Log(redis),
            drivers={"fake": cloud},
            ladder=lambda *_: (ladder(*RUNGS), ""),
            environ={},
            installation="i-1",
            machine_lease=lease,
            control_lease=timedelta(seconds=10),
            clock=lambda: NOW,
        )
        advance(id_)
        return [attempt.request for attempt in requests.by_id(id_).attempts]

    return launch


def test_each_request_is_the_one_that_the_driver_was_told_before(cloud, launch):
    first, second, third = launch()
    assert [cloud.told[one.token].request for one in (first, second, third)] == [second, third, None]
    assert [offer.region for offer in cloud.told[first.token].ladder] == ["r2", "r3"]
    assert cloud.told[first.token].secrets["VLLM_API_KEY"]
    assert cloud.finished == 1


def test_tokens_differ(launch):
    assert len({one.token for one in launch()}) == len(RUNGS)


def test_what_no_budget_allows_is_not_told(redis, cloud, launch):
    limit = Budget(scope=BudgetScope.INSTALLATION, day=Decimal(100), then=Then.WARN)
    StoredPolicy(redis).put(Policy(budgets=BudgetPolicy(zone="UTC", limits=(limit,))))
    first, second = launch()
    assert cloud.told[first.token].request == second
    assert cloud.told[second.token].request is None


def test_the_driver_finishes_after_the_lease(redis, cloud, launch):
    """What it waits for must not delay an end that is requested meanwhile."""
    held = []
    cloud.finish = lambda: held.append(redis.keys("mixtral:lease:*"))
    launch()
    assert held == [[]]


def test_the_driver_finishes_when_a_call_fails(cloud, launch):
    def fails(*_):
        raise DriverError("no answer")

    cloud.create = fails
    with pytest.raises(DriverError):
        launch()
    assert cloud.finished == 1
