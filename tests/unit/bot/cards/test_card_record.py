"""What is recorded of a card and its alerts: how much it grows, and what a step of the clock does to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from bot.cards.card_alerts import CardAlerts
from bot.cards.card_message import RETRY_LIMIT, Cards, Later
from bot.cards.card_record import CARDS, CardRecords
from bot.slack.failures import SlackAway, SlackRefused
from bot.slack.reading import SETTLES
from bot.views import alerts
from tests.builders.story import Story
from workers.deployment.events import Clock, Control


class Channel:
    """A channel in Slack: the kinds of what is posted, in their order."""

    def __init__(self):
        self.posted, self.fails = [], None

    def post(self, channel, message, *, thread=None, metadata=None):
        self._check()
        self.posted.append((metadata or {})["event_type"])
        return f"{len(self.posted)}.0"

    def update(self, channel, ts, message, *, leave=0):
        self._check()

    def whisper(self, channel, user, message):
        self.posted.append("key")

    def open_direct(self, user):
        return "D0"

    def page(self, channel, **more):
        return [], None

    def _check(self):
        if self.fails:
            raise self.fails


class Place:
    """One deployment and its card."""

    def __init__(self, redis):
        self.redis, self.slack, self.skew = redis, Channel(), timedelta()
        self.story = Story(at=datetime.now(UTC)).planned().asked().created()
        slack: Any = self.slack
        self.cards = Cards(redis, slack, lambda _: "mxk_key", self.now)
        self.records = CardRecords(redis)
        self.alerts = CardAlerts(slack, self.records, lambda _: "mxk_key", self.now)

    def now(self):
        return self.story.now + self.skew

    def show(self):
        self.cards.show(self.story.state)

    def later(self):
        """The wait that the card asks for; None if it is shown."""
        try:
            self.show()
        except Later as later:
            return later.wait
        return None

    def answers(self):
        """The deployment answers, and what is to be said of that is said."""
        self.story.ready().published().tested()
        self.show()

    def says(self):
        """What this look at the alerts posts."""
        before, state = len(self.slack.posted), self.story.state
        self.alerts.say_what_is_due(state, self.records.load(state), direct=False)
        return self.slack.posted[before:]

    def size(self):
        return len(self.redis.hget(CARDS, self.story.id))

    def said(self):
        return msgspec.json.decode(self.redis.hget(CARDS, self.story.id))["said"]


@pytest.fixture
def place(redis):
    return Place(redis)


def test_a_card_whose_post_was_lost_is_posted_soon_although_the_clock_steps_back(place):
    place.slack.fails = SlackAway("no answer")
    with pytest.raises(SlackAway):
        place.show()
    place.slack.fails, place.skew = None, -timedelta(hours=2)
    assert place.later() == SETTLES
    place.skew += SETTLES
    assert place.later() is None
    assert place.slack.posted == ["mixtral_card"]


def test_a_card_that_was_refused_is_tried_again_soon_although_the_clock_steps_back(place):
    place.slack.fails = SlackRefused("is_archived", known=True)
    assert place.later()
    place.slack.fails = None
    assert place.later() <= RETRY_LIMIT
    place.skew = -timedelta(hours=2)
    assert place.later() is None
    assert "mixtral_card" in place.slack.posted


def keeps(place):
    """An announced end for lack of requests, and the request that holds it; returns what is posted about them."""
    story = place.story.wait(minutes=1)
    story.announced(story.now + timedelta(minutes=5), Clock.IDLE, story.now - timedelta(minutes=25))
    first = place.says()
    story.held(Clock.IDLE, story.now + timedelta(minutes=30), why="requests arrive")
    return [*first, *place.says(), *place.says()]


def test_the_record_of_a_deployment_that_is_kept_again_and_again_stays_small(place):
    place.answers()
    before = len(place.slack.posted)
    for _ in range(400):
        assert [kind.rsplit("_", 1)[0] for kind in keeps(place)] == ["mixtral_ends_idle", "mixtral_kept"]
    posted = place.slack.posted[before:]
    assert len(posted) == len(set(posted)) == 800
    assert place.size() < 20_000
    assert {"mixtral_key", alerts.READY} < place.said().keys()
    assert place.says() == []


def test_an_outage_is_ended_by_its_alert_however_much_is_said_meanwhile(place):
    place.answers()
    place.story.not_ready("no answer").gone().abandoned()
    (out,) = place.says()
    assert out.startswith(alerts.OUT)
    for number in range(1, 250):
        place.story.scaled(number % 2 + 1)
        assert [kind.startswith(alerts.SCALED) for kind in place.says()] == [True]
    place.story.asked().created().ready()
    assert [kind for kind in place.says() if kind.startswith(alerts.BACK)] == [out.replace(alerts.OUT, alerts.BACK)]
    assert place.says() == []


def test_control_that_is_lost_is_said_once_however_much_is_said_meanwhile(place):
    place.answers()
    place.story.control_lost(Control.LIST, "no permission").wait(minutes=30)
    (lost,) = place.says()
    assert lost.startswith(alerts.LOST)
    for number in range(1, 250):
        place.story.scaled(number % 2 + 1)
        assert [kind.startswith(alerts.SCALED) for kind in place.says()] == [True]
    place.story.control_regained(Control.LIST)
    assert place.says() == [lost.replace(alerts.LOST, alerts.REGAINED)]
    assert place.says() == []


def test_an_alert_that_is_due_is_not_said_again_however_much_is_said_meanwhile(place):
    place.answers()
    place.story.kept_until(place.now() + timedelta(days=90)).wait(minutes=20)
    place.story.announced(place.story.state.until)
    assert [kind.startswith(alerts.ENDS) for kind in place.says()] == [True]
    for number in range(1, 250):
        place.story.scaled(number % 2 + 1)
        assert [kind.startswith(alerts.SCALED) for kind in place.says()] == [True]
    assert place.size() < 20_000
