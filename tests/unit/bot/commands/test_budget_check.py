"""Budgets in commands: what is refused before anything starts, and what is left."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bot.commands.budget_check import of_viewer
from bot.commands.visibility import Viewer
from bot.language.command import Launch
from tests.builders.logs import append
from tests.builders.offers import ladder, offer, unusable
from tests.builders.story import Story
from tests.fakes.office import Office
from workers.decision.budget import Owner
from workers.deployment.events import Place
from workers.deployment.log import new_id
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
def office(redis):
    made = Office(redis)
    rungs = ladder(offer("gcp r-a", "7.20"))
    made.context = replace(made.context, ladder=lambda *_: (rungs, ""), now=lambda: NOW)
    return made


def budgets(redis, *limits):
    StoredPolicy(redis).put(Policy(budgets=BudgetPolicy(limits=limits)))


def runs(redis, name="fast", user="U1", channel="C0HERE", hours=1):
    place = Place(team="T1", channel=channel, user=user)
    told = Story(name, id_=new_id(), at=NOW - timedelta(hours=hours), place=place)
    append(redis, told.planned(offer("gcp r-a", "7.20")).asked().created())


def test_a_launch_on_a_budget_that_is_used_up_starts_nothing(office, redis):
    runs(redis)
    budgets(redis, Budget(scope=BudgetScope.PERSON, month=Decimal(8)))
    said = office.says(Launch(name="more"))
    assert "Of the budget of the launcher (8.00 USD per month), 7.2" in said
    assert "an hour of the cheapest machine costs 7.20 USD" in said
    assert "Admins: <@UADMIN>." in said
    assert [state.name for state in office.requests.all()] == ["fast"]
    assert "Launching" in office.says(Launch(name="theirs"), user="U2")


def test_a_bot_without_credentials_of_a_cloud_refuses_what_no_offer_fits(office, redis):
    runs(redis)
    budgets(redis, Budget(scope=BudgetScope.PERSON, month=Decimal(8)))
    office.context = replace(office.context, ladder=lambda *_: (unusable(ladder(offer("gcp r-a", "7.20"))), ""))
    assert "an hour of the cheapest machine costs 7.20 USD" in office.says(Launch(name="more"))
    assert [state.name for state in office.requests.all()] == ["fast"]


def test_a_scale_that_needs_a_further_machine_is_refused_and_one_down_is_not(office, redis):
    runs(redis)
    budgets(redis, Budget(scope=BudgetScope.DEPLOYMENT, month=Decimal(8)))
    assert "Nothing further is bought" in office.says("scale fast 2")
    assert office.requests.get("fast").wanted == 1
    office.says("scale fast 0")
    assert office.requests.get("fast").wanted == 0


def test_cost_shows_what_is_left(office, redis):
    runs(redis)
    assert "Budget" not in office.says("cost month")
    budgets(
        redis,
        Budget(scope=BudgetScope.INSTALLATION, month=Decimal(100)),
        Budget(scope=BudgetScope.PERSON, month=Decimal(5)),
    )
    said = office.says("cost month")
    assert "*Budget* of the installation: 100.00 USD per month; 7.2" in said
    assert "*Budget* of <@U1>: 5.00 USD per month" in said
    assert "nothing is left, and nothing further is bought" in said


def test_what_others_use_is_shown_to_admins_only(office, redis):
    """It contains deployments in channels that the reader may not see."""
    runs(redis, user="U2", channel="C0SECRET")
    budgets(
        redis,
        Budget(scope=BudgetScope.PERSON, month=Decimal(5)),
        Budget(scope=BudgetScope.CHANNEL, of=("C0SECRET",), month=Decimal(5)),
    )
    book = office.requests.book()
    about = Owner(name="", user="U2", channel="C0SECRET")
    here = Viewer(user="U1", channel="C0HERE")
    assert of_viewer(here, office.context, book, about) == []
    admin = of_viewer(Viewer(user="UADMIN", channel="C0HERE"), office.context, book, about)
    assert [(s.scope, s.id) for s in admin] == [(BudgetScope.PERSON, "U2"), (BudgetScope.CHANNEL, "C0SECRET")]
    budgets(redis, Budget(scope=BudgetScope.INSTALLATION, month=Decimal(100)))
    assert of_viewer(replace(here, outside=True), office.context, book) == []
