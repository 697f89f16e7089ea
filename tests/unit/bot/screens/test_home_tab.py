"""When a Home tab is published, and with what."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from bot.commands.visibility import Viewer
from bot.language.command import Cost
from bot.screens.home_tab import SHOWN_FOR, HomeTab
from bot.slack import slack_steps
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.slack.failures import SlackAway, SlackBusy
from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.fakes.office import Office
from tests.fakes.outbox import SentAtOnce
from tests.person import words
from workers.deployment.events import Place


class Slack:
    """Shows tabs, or fails with `failure`."""

    def __init__(self):
        self.views = []
        self.failure = None
        self.left = []
        self.outbox = SentAtOnce()

    def publish_home(self, user, view, *, leave=0):
        if leave:
            self.left.append(leave)
        if self.failure:
            raise self.failure
        self.views.append((user, words(view)))


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def office(redis):
    return Office(redis)


@pytest.fixture
def slack():
    return Slack()


def opened(office, slack, *viewers, clock=None):
    """The tabs of viewers who have opened theirs."""
    calls: Any = slack
    tab = HomeTab(office.context, calls, clock=clock or Clock())
    for viewer in viewers or ("U1",):
        tab.opened(Viewer(user=viewer))
    slack.views.clear()
    return tab


def test_a_home_tab_that_is_published_after_a_pause_shows_the_newest_state(office, slack):
    calls: Any = slack

    def paused(_):
        office.running.start("late")
        slack.failure = None

    slack.failure, slack.outbox = SlackBusy(0.01), SentAtOnce(paused)
    HomeTab(office.context, calls).opened(Viewer(user="U1"))
    assert "late" in slack.views[-1][1]


def test_a_person_who_opens_their_home_again_and_again_while_slack_asks_for_a_pause_waits_once(office, slack):
    later = []
    slack.outbox = SimpleNamespace(put=lambda _, steps: later.append(steps))
    calls: Any = slack
    tab = HomeTab(office.context, calls)
    for user in ("U1", "U1", "U2"):
        tab.opened(Viewer(user=user))
    assert len(later) == 2
    for steps in later:
        assert list(steps) == []
    tab.opened(Viewer(user="U1"))
    assert len(later) == 3


def test_an_open_tab_follows_what_becomes_of_a_deployment_and_rests_while_nothing_changes(office, slack):
    id_ = office.running.start("fast")
    tab = opened(office, slack)
    tab.refresh()
    assert slack.views == []
    office.running.append(office.running.story(id_).answers_at("http://127.0.0.1:1"))
    tab.refresh()
    tab.refresh()
    [(user, shown)] = slack.views
    assert user == "U1"
    assert "*fast* is ready" in shown
    assert slack.left == [10]


def test_a_tab_of_somebody_who_does_not_see_the_deployment_is_left_alone(office, slack):
    office.directory.channels["C0SECRET"] = ChannelFacts()
    tab = opened(office, slack, "U1", "U2")
    office.running.start("fast", "C0SECRET", user="U1")
    tab.refresh()
    assert [user for user, _ in slack.views] == ["U1"]


def test_a_tab_is_kept_up_to_date_for_ten_minutes(office, slack):
    clock = Clock()
    tab = opened(office, slack, clock=clock)
    clock.now += SHOWN_FOR.total_seconds() + 1
    office.running.start("fast")
    tab.refresh()
    assert slack.views == []


@pytest.mark.parametrize("failure", [SlackBusy(1), SlackAway("away")])
def test_what_slack_does_not_take_now_is_published_at_the_next_comparison(office, slack, failure):
    tab = opened(office, slack)
    office.running.start("fast")
    slack.failure = failure
    tab.refresh()
    slack.failure = None
    tab.refresh()
    assert len(slack.views) == 1


def test_a_tab_that_could_not_be_published_when_it_was_opened_is_published_at_the_next_comparison(
    office, slack, monkeypatch
):
    monkeypatch.setattr(slack_steps, "WHILE_AWAY", timedelta())
    office.running.start("fast")
    tab = opened(office, slack)
    slack.failure = SlackAway("away")
    tab.opened(Viewer(user="U2"))
    slack.failure = None
    tab.refresh()
    assert [user for user, _ in slack.views] == ["U2"]


def test_the_sums_are_in_the_time_zone_of_the_viewer_if_slack_returns_it(office, slack):
    office.running.put("fast", "http://127.0.0.1:1")
    office.directory.people["U1"] = PersonFacts(tz="Asia/Tokyo")
    office.directory.people["U2"] = PersonFacts(tz="Mars/Olympus")
    tab = opened(office, slack, "U1", "U2")
    office.running.start("slow")
    tab.refresh()
    assert "Days and months are those of Asia/Tokyo." in slack.views[0][1]
    assert "Days and months are those of UTC." in slack.views[1][1]


def test_a_person_of_another_company_learns_nothing_of_deployments_that_they_cannot_see(office, slack, redis):
    redis.hset("mixtral:names", "lost", "d-lost")
    tab = opened(office, slack, "U1")
    calls: Any = slack
    HomeTab(office.context, calls).opened(Viewer(user="U2", outside=True))
    assert "cannot be read" not in slack.views[-1][1]
    tab.opened(Viewer(user="U1"))
    assert "*Now* does not include 1 deployment whose log cannot be read." in slack.views[-1][1]


def test_an_end_in_a_private_channel_and_its_cost_are_shown_to_its_members_alone(office, slack):
    office.directory.channels["C0SECRET"] = ChannelFacts()
    id_ = office.running.put("fast", "http://127.0.0.1:1", "C0SECRET")
    office.running.append(office.running.story(id_).stopped().ended())
    tab = opened(office, slack)
    for user in ("U1", "U2"):
        tab.opened(Viewer(user=user))
    mine, others = (slack.views[at][1] for at in (0, -1))
    assert "*fast* is down" in mine
    assert "fast" not in others
    assert "*Today*" not in others


def test_another_end_that_a_person_sets_is_shown_on_an_open_tab(office, slack):
    id_ = office.running.put("fast", "http://127.0.0.1:1")
    tab = opened(office, slack)
    end = datetime.now(UTC) + timedelta(hours=4)
    office.requests.keep_until(id_, end, by="U1")
    tab.refresh()
    assert "ends " in slack.views[-1][1]


def test_slack_is_not_asked_about_channels_in_which_nothing_ran_this_month(office, slack, redis):
    place = Place(team="T1", channel="C0OLD", user="U1")
    old = Story("old", id_="d0000000old0", at=datetime.now(UTC) - timedelta(days=60), place=place)
    append(redis, old.planned(offer("r-1")).asked().created().wait(minutes=30).gone("ended").ended())
    opened(office, slack, "U2")
    assert "no machine was used" in office.says(Cost(), user="U2")
    assert "C0OLD" not in office.directory.asked


def test_who_has_a_key_sees_in_the_sums_what_the_deployment_costs(office, slack, redis):
    office.directory.channels["C0SECRET"] = ChannelFacts()
    place = Place(team="T1", channel="C0SECRET", user="U1")
    told = Story("fast", id_="d00000000fast", at=datetime.now(UTC) - timedelta(minutes=30), place=place)
    # So dear that it has cost something today in the first second after midnight, too.
    append(redis, told.planned(offer("r-1", "990")).asked().created().answers_at("http://127.0.0.1:1"))
    office.requests.issue_key(told.id, user="U2", by="U1")
    tab = opened(office, slack)
    for user, seen in (("U2", True), ("U3", False)):
        tab.opened(Viewer(user=user))
        assert "*Today* 0.00 USD" not in slack.views[-1][1]
        assert ("*fast*" in slack.views[-1][1]) is seen
        assert ("*fast*" in office.says(Cost(), user=user)) is seen


def test_a_deployment_whose_time_was_over_says_so(office, slack):
    id_ = office.running.put("fast", "http://127.0.0.1:1")
    office.running.append(office.running.story(id_).stopped(by="").ended())
    tab = opened(office, slack)
    tab.opened(Viewer(user="U1"))
    assert "Ended at the time that was set for it." in slack.views[-1][1]
