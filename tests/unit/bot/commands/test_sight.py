"""The deployments to which a question may be routed, and when that takes a call to Slack."""

import pytest

from bot.language.question import Question
from bot.prompting.routing import NotRouted, RoutedTo, route
from bot.slack.facts import ChannelFacts, PersonFacts
from tests.fakes.office import Office


@pytest.fixture
def office(redis):
    it = Office(redis)
    it.running.put("here", "http://127.0.0.1:1", "C0HERE")
    it.running.put("there", "http://127.0.0.1:2", "C0THERE")
    it.running.put("closed", "http://127.0.0.1:3", "C0OPS")
    it.directory.channels["C0OPS"] = ChannelFacts()
    it.directory.joined["C0OPS"] = frozenset({"U3"})
    return it


def asked(office, text="Hello", *, user="U2", channel="C0HERE", default=None, **more):
    question = Question(id="E1", team="T1", channel=channel, user=user, text=text, message_ts="1.0", **more)
    askable = office.context.askable
    running = askable.running(question, default=default)
    found = route(question, running, None, askable.ended(question, default), default)
    return found.deployment.name if isinstance(found, RoutedTo) else tuple(state.name for state in found.choices)


def test_a_question_for_the_deployment_of_its_channel_asks_slack_nothing(office):
    assert asked(office) == "here"
    assert asked(office, "here: Hello") == "here"
    assert asked(office, "nowhere: Hello") == "here"
    assert office.directory.asked == []


def test_a_question_for_another_channels_deployment_reaches_it_if_its_asker_may_see_it(office):
    assert asked(office, "there: Hello") == "there"
    assert asked(office, "closed: Hello", user="U3") == "closed"
    assert asked(office, "closed: Hello", user="U2") == "here"
    assert asked(office, deployment="there") == "there"


def test_the_default_may_be_of_another_channel_and_answers_those_who_may_see_it(office):
    assert asked(office, default="there") == "there"
    assert asked(office, "here: Hello", default="there") == "here"
    assert asked(office, default="closed", user="U3") == "closed"
    assert asked(office, default="closed", user="U2", channel="C0EMPTY") == ("here", "there")


def test_a_question_from_a_channel_without_one_is_for_those_that_its_asker_may_see(office):
    assert asked(office, channel="C0EMPTY") == ("here", "there")
    assert asked(office, channel="C0EMPTY", user="U3") == ("closed", "here", "there")
    office.directory.people["U4"] = PersonFacts(team="T1", is_guest=True)
    office.directory.joined["C0THERE"] = frozenset({"U4"})
    assert asked(office, channel="C0EMPTY", user="U4") == "there"
    office.directory.joined["C0THERE"] = frozenset({"U5"})
    assert asked(office, channel="C0EMPTY", user="U5", outside=True) == "there"


def test_where_the_channels_own_one_ends_the_others_are_looked_at(office):
    office.requests.stop(office.requests.get("here").id, by="U1")
    assert asked(office) == "there"


def test_a_reader_of_a_thread_may_ask_the_deployment_that_answered_there(office):
    question = Question(id="E1", team="T1", channel="C0HERE", user="U2", text="And?", thread_ts="1.0", message_ts="2.0")
    closed = office.requests.get("closed").id
    found = route(question, office.context.askable.running(question, closed), closed)
    assert isinstance(found, RoutedTo)
    assert found.deployment.name == "closed"
    elsewhere = route(question, office.context.askable.running(question), closed)
    assert isinstance(elsewhere, NotRouted)
