"""What Slack is asked about channels and people, how often, and what stands in for an answer."""

import pytest

from bot.slack.directory import ASKED_AGAIN, AWAY_FOR, CHANNEL_KEPT, MEMBERS_KEPT, MOST, PERSON_KEPT, Directory
from bot.slack.facts import ChannelFacts, PersonFacts
from bot.slack.failures import SlackAway, SlackBusy, SlackRefused

PRIVATE = {"is_private": True, "is_member": True}


class Slack:
    def __init__(self):
        self.asked = []
        self.answers = {}
        self.failure = None

    def _answer(self, what):
        self.asked.append(what)
        if self.failure:
            raise self.failure
        return self.answers[what]

    def channel(self, channel):
        return self._answer(channel)

    def members(self, channel, cursor):
        return self._answer((channel, cursor))

    def person(self, user):
        return self._answer(user)

    def team(self, team):
        return self._answer(team)


@pytest.fixture
def slack():
    return Slack()


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def directory(slack, clock):
    return Directory(slack, clock=lambda: clock[0])


def test_an_answer_is_used_again_for_a_while(directory, slack, clock):
    slack.answers = {
        "C1": PRIVATE,
        "U1": {"team_id": "T1"},
        ("C1", None): (["U1"], "next"),
        ("C1", "next"): (["U2"], None),
    }
    for _ in range(3):
        assert directory.channel("C1") == ChannelFacts()
        assert directory.members("C1") == {"U1", "U2"}
        assert directory.person("U1") == PersonFacts(team="T1")
    assert slack.asked == ["C1", ("C1", None), ("C1", "next"), "U1"]
    clock[0] = max(CHANNEL_KEPT, MEMBERS_KEPT, PERSON_KEPT)
    directory.channel("C1")
    assert slack.asked[-1] == "C1"


def test_while_slack_is_away_the_older_answer_stands_and_slack_is_not_asked_each_time(directory, slack, clock):
    slack.answers = {("C1", None): (["U1"], None)}
    directory.members("C1")
    slack.failure, clock[0] = SlackAway("away"), MEMBERS_KEPT
    for _ in range(3):
        assert directory.members("C1") == {"U1"}
        assert directory.members("C2") is None
    assert len(slack.asked) == 2
    slack.failure, clock[0] = None, MEMBERS_KEPT + ASKED_AGAIN
    slack.answers["C2", None] = (["U2"], None)
    assert directory.members("C2") == {"U2"}


@pytest.mark.parametrize(("failure", "pause"), [(SlackAway("away"), AWAY_FOR), (SlackBusy(20), 20)])
def test_a_list_of_many_channels_waits_once_while_slack_does_not_respond(directory, slack, clock, failure, pause):
    slack.failure = failure
    assert [directory.channel(f"C{n}") for n in range(20)] == [None] * 20
    assert slack.asked == ["C0"]
    slack.failure, slack.answers = None, {"C1": PRIVATE, "U1": {"team_id": "T1"}}
    assert directory.person("U1") == PersonFacts(team="T1")  # another method may respond
    clock[0] = pause
    assert directory.channel("C1") == ChannelFacts()


def test_what_slack_refuses_is_not_known_whatever_was_known_before(directory, slack, clock):
    slack.answers = {("C1", None): (["U1"], None)}
    directory.members("C1")
    slack.failure, clock[0] = SlackRefused("missing_scope", known=False), MEMBERS_KEPT
    assert directory.members("C1") is None


def test_whether_the_bot_was_invited_is_asked_each_time(directory, slack):
    slack.failure = SlackRefused("channel_not_found")
    assert directory.channel("C1", newest=True) == ChannelFacts(is_joined=False)
    slack.failure, slack.answers = None, {"C1": {"is_private": False, "is_member": False}}
    assert directory.channel("C1", newest=True) == ChannelFacts(is_joined=False, is_public=True)
    slack.answers = {"C1": {"is_private": False, "is_member": True}}
    assert directory.channel("C1", newest=True) == ChannelFacts(is_public=True)


def test_a_channel_that_the_bot_has_left_is_not_asked_about_for_each_viewer(directory, slack, clock):
    slack.answers = {"C1": {"is_private": False, "is_member": False}}
    for _ in range(20):
        assert directory.channel("C1").is_public
    assert slack.asked == ["C1"]
    directory.channel("C1", newest=True)
    clock[0] = ASKED_AGAIN
    directory.channel("C1")
    assert slack.asked == ["C1"] * 3


def test_memory_is_bounded(directory, slack):
    slack.answers = {f"U{n}": {"team_id": "T1"} for n in range(MOST + 5)}
    for user in slack.answers:
        directory.person(user)
    assert len(directory._people._answers) == MOST


@pytest.mark.parametrize(
    ("info", "facts"),
    [
        ({"is_im": True}, ChannelFacts()),
        ({"is_mpim": True, "is_private": True}, ChannelFacts()),
        ({"is_member": True}, ChannelFacts()),  # without a word on privacy it is not public
        (
            {
                "is_private": False,
                "is_member": True,
                "is_ext_shared": True,
                "connected_team_ids": ["T0US", "T0THEM"],
                "internal_team_ids": ["T0US"],
            },
            ChannelFacts(is_public=True, is_shared=True, other_teams=("T0THEM",)),
        ),
    ],
)
def test_a_channel_is_read_from_slacks_object(directory, slack, info, facts):
    slack.answers = {"C1": info}
    assert directory.channel("C1") == facts


def test_a_guest_and_an_enterprise_are_read_from_slacks_object(directory, slack):
    slack.answers = {
        "U1": {"team_id": "T1", "is_ultra_restricted": True},
        "U2": {"team_id": "T1", "enterprise_user": {"enterprise_id": "E1"}},
    }
    assert directory.person("U1") == PersonFacts(team="T1", is_guest=True)
    assert directory.person("U2") == PersonFacts(team="T1", enterprise="E1")


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("is_archived", "is_archived"),
        ("is_read_only", "restricted_action_read_only_channel"),
        ("is_thread_only", "restricted_action_thread_only_channel"),
    ],
)
def test_a_channel_that_accepts_no_message_is_asked_about_again_since_that_may_have_ended(directory, slack, flag, code):
    slack.answers = {"C1": PRIVATE | {flag: True}}
    assert directory.channel("C1").obstacle == code
    slack.answers = {"C1": PRIVATE}
    assert directory.channel("C1", newest=True).obstacle == ""
