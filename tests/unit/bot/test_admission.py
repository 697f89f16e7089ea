"""What strangers are told, and how often; which payloads Slack is asked about."""

import logging
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from slack_bolt import Ack, BoltContext

from bot import admission as admission_module
from bot.admission import ACK_BY, NOBODY, REFUSED, UNKNOWN, Admission
from bot.commands.strangers import Home
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.slack.failures import SlackRefused
from tests.fakes.at_once import AtOnce
from tests.fakes.office import Directory

OURS, THEIRS = "T0OURS", "T0THEIRS"


class Slack:
    def __init__(self):
        self.told = []
        self.homes = []
        self.refuses = False

    def publish_home(self, user, view):
        if self.refuses:
            raise SlackRefused("user_not_found")
        self.homes.append((user, view))

    def whisper(self, channel, user, message, *, thread=None):
        if self.refuses:
            raise SlackRefused("user_not_in_channel")
        self.told.append((channel, user, message, thread))


class Away:
    def register_script(self, _):
        return self.set

    def set(self, *_, **__):
        raise RedisConnectionError("away")


@pytest.fixture
def slack():
    return Slack()


@pytest.fixture
def directory():
    return Directory()


def entered(slack, directory, redis, body, home=None, *, status=200):
    """(whether the payload was passed on, the ack's body)."""
    passed = []
    calls: Any = slack
    admission = Admission(
        home or Home(team=OURS), directory=directory, slack=calls, redis=redis, later=AtOnce(), bot_user="UBOT"
    )
    response = admission.admit(Ack(), body, BoltContext(), lambda: passed.append(1))
    assert response is None or response.status == status
    return bool(passed), response.body if response else None


def said(text="<@UBOT> Hello", *, user="UEVE", team=THEIRS, channel="C1", **more):
    event = {"type": "message", "user": user, "team": team, "channel": channel, "text": text, "ts": "1.0", **more}
    return {"type": "event_callback", "team_id": team, "is_ext_shared_channel": True, "event": event}


def test_each_stranger_is_told_once_in_each_channel_and_in_the_thread_in_which_they_wrote(slack, directory, redis):
    for body in (said(thread_ts="0.5"), said(), said(type="app_mention"), said(user="UMAX"), said(channel="C2")):
        assert entered(slack, directory, redis, body) == (False, "")
    assert [(channel, user, thread) for channel, user, _, thread in slack.told] == [
        ("C1", "UEVE", "0.5"),
        ("C1", "UMAX", None),
        ("C2", "UEVE", None),
    ]
    assert directory.asked == []


@pytest.mark.parametrize(
    "body",
    [
        said("lunch?"),
        said(subtype="channel_join"),
        said(type="agent_session_stopped"),
        said(type="reaction_added"),
    ],
)
def test_a_stranger_who_does_not_address_the_bot_is_told_nothing_and_leaves_no_line(
    slack, directory, redis, body, caplog
):
    caplog.set_level(logging.INFO)
    directory.people["UEVE"] = PersonFacts(team=THEIRS)
    assert entered(slack, directory, redis, body) == (False, "")
    assert slack.told == []
    assert caplog.text == ""


def test_a_stranger_who_opens_the_home_tab_finds_the_refusal_in_place_of_what_they_saw_when_let_in(
    slack, directory, redis
):
    for _ in range(2):
        assert entered(slack, directory, redis, said(type="app_home_opened")) == (False, "")
    [(user, view)] = slack.homes
    assert user == "UEVE"
    assert [block["text"]["text"] for block in view["blocks"]] == [REFUSED.text]
    slack.refuses = True
    assert entered(slack, directory, redis, said(type="app_home_opened", user="UMAX")) == (False, "")
    assert slack.told == []


def test_without_redis_or_a_place_for_the_sentence_a_stranger_is_refused_all_the_same(slack, directory, redis):
    assert entered(slack, directory, Away(), said()) == (False, "")
    slack.refuses = True
    assert entered(slack, directory, redis, said()) == (False, "")


def test_a_stranger_who_clicks_and_whose_response_url_is_spent_is_told_in_the_channel(slack, directory, redis):
    click = {
        "type": "block_actions",
        "user": {"id": "UEVE", "team_id": THEIRS},
        "team": {"id": OURS},
        "container": {"channel_id": "C1"},
    }
    assert entered(slack, directory, redis, click) == (False, "")
    assert slack.told == [("C1", "UEVE", REFUSED, None)]


def test_no_payload_makes_the_bot_send_a_message_to_an_address_that_is_not_slacks(slack, directory, redis):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        click = {
            "type": "block_actions",
            "user": {"id": "UEVE", "team_id": THEIRS},
            "team": {"id": OURS},
            "container": {"channel_id": "C1"},
            "response_url": f"http://127.0.0.1:{elsewhere.getsockname()[1]}/actions/x",
        }
        assert entered(slack, directory, redis, click) == (False, "")
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert click["response_url"] is None
    assert slack.told == [("C1", "UEVE", REFUSED, None)]


def test_events_about_the_app_and_messages_of_bots_pass(slack, directory, redis):
    for event in ({"type": "app_uninstalled"}, {"type": "tokens_revoked"}, {"type": "message", "bot_id": "B1"}):
        body = {"type": "event_callback", "team_id": THEIRS, "is_ext_shared_channel": True, "event": event}
        assert entered(slack, directory, redis, body) == (True, None)


def test_a_command_and_a_modal_without_a_user_are_refused_and_a_click_does_nothing(slack, directory, redis):
    passed, body = entered(slack, directory, redis, {"command": "/mixtral", "user_id": "", "team_id": OURS})
    assert (passed, NOBODY.text in str(body)) == (False, True)
    modal = {"type": "view_submission", "user": {}, "view": {"state": {"values": {"count": {}}}}}
    passed, body = entered(slack, directory, redis, modal)
    assert (passed, NOBODY.text in str(body)) == (False, True)
    assert entered(slack, directory, redis, {"type": "block_actions", "user": {}}) == (False, "")


def test_slack_is_asked_only_about_those_of_whom_the_payload_does_not_say_enough(slack, directory, redis):
    assert entered(slack, directory, redis, said(user="U1", team=OURS)) == (True, None)
    assert directory.asked == []
    grid = Home(team=OURS, enterprise="E0OURS")
    directory.people["U2"] = PersonFacts(team="T0SIBLING", enterprise="E0OURS")
    assert entered(slack, directory, redis, said(user="U2", team="T0SIBLING"), grid) == (True, None)
    assert directory.asked == ["U2"]
    directory.people["U3"], directory.channels["C1"] = None, ChannelFacts(is_shared=True)
    assert entered(slack, directory, redis, said(user="U3", team="T0SIBLING"), grid, status=503)[0] is False


@pytest.mark.parametrize("kind", ["app_mention", "app_home_opened", "agent_session_stopped", "message"])
def test_slack_repeats_what_a_colleague_may_have_sent_while_it_did_not_say_who_they_are(slack, directory, redis, kind):
    directory.people["U1"], directory.channels["D1"] = None, None
    screenshot = said(type=kind, user="U1", team="", channel="D1", channel_type="im")
    assert entered(slack, directory, redis, screenshot, status=503) == (False, "")
    assert slack.told == []
    directory.channels["D1"] = ChannelFacts()
    assert entered(slack, directory, redis, screenshot) == (True, None)


def test_a_command_and_a_click_of_a_person_of_whom_slack_says_nothing_are_refused_without_calling_them_strangers(
    slack, directory, redis
):
    grid = Home(team=OURS, enterprise="E0OURS")
    directory.people["U2"], directory.channels["C1"] = None, None
    command = {"command": "/mixtral", "user_id": "U2", "team_id": "T0SIBLING", "channel_id": "C1"}
    passed, body = entered(slack, directory, redis, command, grid)
    assert (passed, UNKNOWN.text in str(body)) == (False, True)
    click = {"type": "block_actions", "user": {"id": "U2", "team_id": "T0SIBLING"}, "container": {"channel_id": "C1"}}
    assert entered(slack, directory, redis, click, grid) == (False, "")
    assert slack.told == [("C1", "U2", UNKNOWN, None)]


def test_chatter_in_a_shared_channel_is_acked_also_where_slack_says_nothing_about_its_author(slack, directory, redis):
    directory.people["UEVE"], directory.channels["C1"] = None, ChannelFacts(is_shared=True)
    assert entered(slack, directory, redis, said("lunch?", team="")) == (False, "")
    assert slack.told == []


def test_the_time_that_the_door_takes_is_part_of_the_time_until_the_ack(slack, directory, redis, monkeypatch):
    clock = iter([100.0])
    monkeypatch.setattr(admission_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    context = BoltContext()
    admission = Admission(
        Home(team=OURS), directory=directory, slack=slack, redis=redis, later=AtOnce(), bot_user="UBOT"
    )
    admission.admit(Ack(), said(user="U1", team=""), context, lambda: None)
    assert context[ACK_BY] == 102.3
