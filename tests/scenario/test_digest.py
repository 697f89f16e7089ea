"""The costs of the last week on Mondays: in the channels that ask for it, once, with the ledger's figures."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bot.language.channel_settings import ChannelSettings
from bot.sandbox import server
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.stand_in import Settings
from bot.screens.digests import Digests
from bot.slack.budgets import Budgets
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from tests.builders.events import PLACE
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.fakes.office import Office
from tests.person import GENERAL, MIXTRAL, ROBIN, Person, words
from workers.deployment.ledger_reader import Ledger

MONDAY = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
WEEK_BEGINS, WEEK_ENDS = MONDAY - timedelta(days=7, hours=9), MONDAY - timedelta(hours=9)


@pytest.fixture
def slack():
    with server.start(Settings(rate_scale=0)) as running:
        yield running


@pytest.fixture
def robin(slack):
    with Person(slack.url) as person:
        yield person


@pytest.fixture
def digests(redis, slack):
    """Returns a process that posts digests at a time."""
    context = Office(redis).context
    calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), Budgets(redis))
    context.settings.put(MIXTRAL, ROBIN, ChannelSettings(digest=True))
    return lambda at: Digests(replace(context, now=lambda: at), calls, redis)


def ran(redis, name, channel, began, **lasted):
    told = Story(name, id_=f"d{name:0>12}", at=began, place=replace(PLACE, channel=channel))
    append(redis, told.planned(offer("r-1", "7.20")).asked().created().wait(**lasted).gone("ended").ended())


def posted(robin, channel=MIXTRAL):
    return [words(m) for m in robin.messages(channel) if "Last week" in m["text"]]


def test_a_channel_that_asks_for_it_gets_the_costs_of_its_week_once_on_monday_from_nine(redis, robin, digests):
    ran(redis, "old", MIXTRAL, WEEK_BEGINS - timedelta(hours=3), hours=5)  # 2 hours of it in the week
    ran(redis, "fast", MIXTRAL, WEEK_BEGINS + timedelta(days=2), hours=10)
    ran(redis, "other", GENERAL, WEEK_BEGINS + timedelta(days=2), hours=10)
    digests(MONDAY - timedelta(seconds=1)).deliver()
    assert posted(robin) == []
    digests(MONDAY).deliver()
    [said] = posted(robin)
    of_channel = [use for use in Ledger(redis).book().uses.values() if use.owner.channel == MIXTRAL]
    figure = sum((use.cost(WEEK_BEGINS, WEEK_ENDS) for use in of_channel), Decimal(0))
    assert figure == Decimal("86.40")
    assert f"Last week, 23 Nov to 29 Nov: ≈ {figure} USD" in said
    assert "other" not in said
    digests(MONDAY + timedelta(minutes=1)).deliver()
    digests(MONDAY + timedelta(hours=23)).deliver()
    assert len(posted(robin)) == 1
    assert posted(robin, GENERAL) == []


def test_after_a_crash_between_the_post_and_its_record_it_is_not_posted_again(redis, robin, digests):
    digests(MONDAY).deliver()
    [key] = redis.keys("mixtral:digest:*")
    redis.set(key, "begun")
    digests(MONDAY + timedelta(minutes=1)).deliver()
    assert len(posted(robin)) == 1
    assert redis.get(key) != b"begun"


def test_a_crash_before_the_post_loses_nothing(redis, robin, digests):
    redis.set(f"mixtral:digest:{MIXTRAL}:2026-11-30", "begun")
    digests(MONDAY).deliver()
    [said] = posted(robin)
    assert "0.00 USD: no machine was used for the deployments that were launched in this channel." in said


def test_a_digest_that_is_a_day_late_is_left_out(robin, digests):
    digests(MONDAY + timedelta(days=1)).deliver()
    assert posted(robin) == []


def test_a_channel_that_slack_refuses_is_not_tried_again_in_that_week(redis, robin, digests):
    Office(redis).context.settings.put("C0ABSENT001", ROBIN, ChannelSettings(digest=True))
    digests(MONDAY).deliver()
    assert redis.get("mixtral:digest:C0ABSENT001:2026-11-30").startswith(b"refused")
    assert len(posted(robin)) == 1, "the others get theirs"
