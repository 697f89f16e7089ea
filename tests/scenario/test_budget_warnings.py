"""Warnings about budgets, on a real Valkey and the Slack stand-in: each once, in the right place, also over kills."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from slack_sdk import WebClient

from bot.cards.budget_warnings import BEGUN, BudgetWarnings
from bot.sandbox import server
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.stand_in import Settings
from bot.slack.budgets import Budgets as CallBudgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.person import ADA, GENERAL, ROBIN
from workers.api import Deployments
from workers.deployment.events import Place
from workers.deployment.log import new_id
from workers.policy.budgets import Budget, BudgetPolicy, BudgetScope, Then
from workers.policy.schema import Policy
from workers.policy.stored import StoredPolicy

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
def slack():
    with server.start(Settings(rate_scale=0)) as running:
        yield running


class Launched:
    """A deployment of Robin's for 10 USD/h since noon, and what is posted about it."""

    def __init__(self, redis, slack):
        self.redis, self.now = redis, NOON
        self.web = WebClient(BOT_TOKEN, base_url=slack.api_url)
        self.calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), CallBudgets(redis))
        place = Place(team="T1", channel=GENERAL, user=ROBIN)
        told = Story("fast", id_=new_id(), at=NOON, place=place).planned(offer("gcp r-a", 10)).asked().created()
        append(redis, told)

    def budget(self, **limit):
        StoredPolicy(self.redis).put(Policy(budgets=BudgetPolicy(limits=(Budget(**limit),))))

    def look(self, hours, admins=()):
        """A new process looks once."""
        self.now = NOON + timedelta(hours=hours)
        BudgetWarnings(
            Deployments(self.redis, lambda _: None, {}),
            self.calls,
            self.redis,
            policy=StoredPolicy(self.redis).current,
            admins=admins,
            clock=lambda: self.now,
        ).look()

    def said(self, channel=GENERAL):
        found = self.web.conversations_history(channel=channel)["messages"]
        return [message["text"] for message in reversed(found) if "of a budget" in message["text"]]

    def direct(self, user):
        return self.said(self.web.conversations_open(users=user)["channel"]["id"])


@pytest.fixture
def place(redis, slack):
    return Launched(redis, slack)


def test_each_percentage_is_said_once_in_the_channel_of_the_deployment(place):
    place.budget(scope=BudgetScope.DEPLOYMENT, day=Decimal(100))
    for hours in (1, 4.9):
        place.look(hours)
    assert place.said() == []
    for hours in (5.5, 6, 8.5, 9, 10.5, 11):
        place.look(hours)
        place.look(hours)
    half, most, all_ = place.said()
    assert "*50 % of a budget is used.* Of the 100.00 USD per day of *fast*, 5" in half
    assert "At 100 % nothing further is bought." in half
    assert "*80 %" in most
    assert "*100 %" in all_
    assert "What runs goes on, and costs more until a person ends it." in all_
    place.look(12 + 5.5)  # the next day
    assert len(place.said()) == 4


def test_a_person_is_told_by_direct_message(place):
    place.budget(scope=BudgetScope.PERSON, month=Decimal(10), then=Then.STOP)
    place.look(2)
    [said] = place.direct(ROBIN)
    assert "*100 % of a budget is used.*" in said
    assert "What runs ends 15 minutes after its thread announces it, unless it is kept." in said
    assert place.said() == []


def test_admins_are_told_of_the_installation_and_at_the_end_the_channels_too(place):
    place.budget(scope=BudgetScope.INSTALLATION, day=Decimal(100))
    place.look(8.5, admins={ADA})
    assert len(place.direct(ADA)) == 1
    assert place.said() == []
    place.look(10.5, admins={ADA})
    assert len(place.direct(ADA)) == 2
    assert len(place.said()) == 1


def test_without_admins_the_channels_are_told_of_the_installation(place):
    place.budget(scope=BudgetScope.INSTALLATION, day=Decimal(100))
    place.look(5.5)
    assert len(place.said()) == 1


def test_a_process_that_dies_after_the_post_leaves_one_message(place):
    place.budget(scope=BudgetScope.CHANNEL, of=(GENERAL,), day=Decimal(100))
    place.look(5.5)
    [key] = place.redis.keys("mixtral:budget_warning:*")
    place.redis.hset(key, GENERAL, BEGUN)  # it died before it recorded the ts
    place.look(5.6)
    assert len(place.said()) == 1
    assert place.redis.hget(key, GENERAL) != BEGUN.encode()


def test_one_that_dies_before_the_post_leaves_it_to_the_next(place, monkeypatch):
    place.budget(scope=BudgetScope.CHANNEL, of=(GENERAL,), day=Decimal(100))

    def dies(*_, **__):
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(place.calls, "post", dies)
        with pytest.raises(SystemExit):
            place.look(5.5)
    assert place.said() == []
    place.look(5.6)
    assert len(place.said()) == 1
