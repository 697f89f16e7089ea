"""A Redis that fails for over a minute, on a real Valkey and the Slack stand-in: told once, and once when it works."""

from datetime import UTC, datetime, timedelta

import pytest
from slack_sdk import WebClient

from bot.cards.redis_watch import RedisWatch, UnsharedBudgets
from bot.sandbox import server
from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.stand_in import Settings
from bot.slack.calls import SlackCalls
from bot.slack.client import web_client
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.person import ADA, GENERAL, ROBIN, words
from tests.redis_faults import REFUSING, fault
from workers.api import Deployments
from workers.deployment.events import Place
from workers.deployment.log import new_id


@pytest.fixture
def slack():
    with server.start(Settings(rate_scale=0)) as running:
        yield running


class Bot:
    """The watch of one process, on clocks that tests move."""

    def __init__(self, redis, slack):
        self.now, self.monotonic = datetime.now(UTC), 0.0
        self.web = WebClient(BOT_TOKEN, base_url=slack.api_url)
        self.calls = SlackCalls(web_client(BOT_TOKEN, slack.api_url), UnsharedBudgets())
        self.redis = redis
        self.watches = [self.process()]

    def process(self):
        return RedisWatch(
            Deployments(self.redis, lambda _: None, {}),
            self.calls,
            self.redis,
            admins={ADA},
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
        )

    def pass_time(self, seconds):
        for _ in range(0, seconds, 5):
            self.now += timedelta(seconds=5)
            self.monotonic += 5
            for watch in self.watches:
                watch.look()

    def said(self, channel=GENERAL):
        found = self.web.conversations_history(channel=channel, include_all_metadata=True)["messages"]
        return [words(m) for m in reversed(found) if (m.get("metadata") or {}).get("event_type") == "mixtral_redis"]

    def direct(self, user):
        return self.said(self.web.conversations_open(users=user)["channel"]["id"])


def serve(redis):
    place = Place(team="T0SANDBOX01", channel=GENERAL, user=ROBIN)
    told = Story("fast", id_=new_id(), at=datetime.now(UTC), place=place)
    append(redis, told.planned(offer("gcp r-a", "21.96")).asked().created().ready().published().tested())


@pytest.fixture
def bot(redis, slack):
    serve(redis)
    return Bot(redis, slack)


@pytest.mark.parametrize("name", REFUSING)
def test_the_channel_and_the_admins_hear_once_what_redis_refuses_and_once_that_it_works(bot, redis, name):
    bot.pass_time(10)
    cause, mend = REFUSING[name]
    with fault(redis, name):
        bot.pass_time(55)
        assert bot.said() == []
        bot.pass_time(300)
        (told,) = bot.said()
        assert cause in told
        assert "no lease is extended. Endpoints go on answering." in told
        assert "*fast* (21.96 USD/h): its machine ends itself" in told
        assert "and costs up to 52" in told
        assert mend in told
        assert bot.direct(ADA) == [told]
    bot.pass_time(20)
    assert "*Redis works again* after 5 min 55 s" in bot.said()[1]
    assert len(bot.said()) == len(bot.direct(ADA)) == 2


def test_two_processes_of_the_bot_tell_it_once_and_a_second_outage_is_told_again(bot, redis):
    bot.watches.append(bot.process())
    bot.pass_time(10)
    for number in (1, 2):
        with fault(redis, "full"):
            bot.pass_time(120)
        bot.pass_time(60)
        assert len(bot.said()) == 2 * number


def test_a_bot_that_is_restarted_during_an_outage_says_once_that_it_is_over(bot, redis):
    bot.pass_time(10)
    with fault(redis, "full"):
        bot.pass_time(120)
    bot.watches = [bot.process(), bot.process()]
    bot.pass_time(60)
    assert [text.split("*")[1] for text in bot.said()[1:]] == ["Redis works again."]
    assert len(bot.direct(ADA)) == 2


def test_what_was_launched_just_before_is_told_of_too_while_reads_are_answered(redis, slack):
    late = Bot(redis, slack)
    late.pass_time(10)
    serve(redis)
    with fault(redis, "read-only"):
        late.pass_time(90)
    assert len(late.said()) == 1


def test_a_fault_that_is_short_or_concerns_no_machine_is_not_told(bot, redis):
    bot.pass_time(10)
    with fault(redis, "full"):
        bot.pass_time(50)
    bot.pass_time(10)
    redis.flushall()
    bot.pass_time(10)
    with fault(redis, "full"):
        bot.pass_time(120)
    assert bot.said() == []
