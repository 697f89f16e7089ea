"""The team of a person in each kind of payload."""

import asyncio

import pytest

from bot.sandbox import modals, seed
from bot.sandbox.arguments import Arguments
from bot.sandbox.deliveries import Deliveries
from bot.sandbox.faults import Faults
from bot.sandbox.interactions import Interactions
from bot.sandbox.methods.people import auth_test, users_info
from bot.sandbox.socket_mode import SocketMode
from bot.sandbox.stand_in import Settings, StandIn

OURS, THEIRS, SIBLING, GRID = seed.TEAM_ID, seed.ACME_TEAM, seed.SIBLING_TEAM, seed.ENTERPRISE_ID
BUTTON = {"type": "button", "action_id": "end", "text": {"type": "plain_text", "text": "End"}}
ROW = {"type": "actions", "block_id": "row", "elements": [BUTTON]}


class Received(SocketMode):
    """What the app receives, in place of its sockets."""

    def __init__(self):
        super().__init__(Faults(), 1, Deliveries([]))
        self.payloads = []

    def send_event(self, payload):
        self.payloads.append(payload)

    async def request(self, kind, payload):
        self.payloads.append(payload)
        return {}


class Place:
    """A stand-in whose app has no sockets."""

    def __init__(self, contents=seed.COMPANY):
        self.stand_in = StandIn(Settings(contents=contents))
        self.stand_in.sockets = self.received = Received()
        self.workspace = self.stand_in.workspace
        self.interactions = Interactions(self.stand_in, "http://127.0.0.1")

    def events(self, user, channel, text="hello"):
        """The events of a message that the app receives, by type."""
        self.received.payloads.clear()
        self.stand_in.say(user, self.workspace.channels[channel], text)
        return {payload["event"]["type"]: payload for payload in self.received.payloads}

    def interaction(self, act, *arguments):
        self.received.payloads.clear()
        asyncio.run(act(*arguments))
        [payload] = self.received.payloads
        return payload


@pytest.fixture
def place():
    return Place()


@pytest.mark.parametrize(
    ("user", "channel", "team", "enterprise"),
    [
        (seed.ROBIN, seed.ACME, OURS, GRID),
        (seed.EVE, seed.ACME, THEIRS, None),
        (seed.GRID, seed.MIXTRAL, SIBLING, GRID),
        (seed.GUS, seed.MIXTRAL, OURS, GRID),
    ],
)
def test_a_message_comes_from_its_author_s_team(place, user, channel, team, enterprise):
    told = place.events(user, channel)["message"]
    assert (told["team_id"], told.get("enterprise_id"), told["event"]["team"]) == (team, enterprise, team)
    assert (told["context_team_id"], told["context_enterprise_id"]) == (OURS, GRID)
    assert told["is_ext_shared_channel"] is (channel == seed.ACME)
    assert "user_team" not in told["event"]
    [authorized] = told["authorizations"]
    assert (authorized["team_id"], authorized["enterprise_id"], authorized["user_id"]) == (OURS, GRID, seed.BOT_USER)


@pytest.mark.parametrize(
    ("user", "channel", "user_team"),
    [(seed.ROBIN, seed.ACME, None), (seed.EVE, seed.ACME, THEIRS), (seed.GRID, seed.MIXTRAL, GRID)],
)
def test_a_mention_comes_from_the_app_s_team_and_names_the_author_s_beside_it(place, user, channel, user_team):
    told = place.events(user, channel, "@mixtral hello")["app_mention"]
    assert (told["team_id"], told["event"]["team"]) == (OURS, OURS)
    assert (told["event"].get("user_team"), told["event"].get("source_team")) == (user_team, user_team)
    assert "context_team_id" not in told


def test_outside_a_grid_nothing_names_an_enterprise():
    place = Place(seed.SANDBOX)
    told = place.events(seed.ROBIN, seed.MIXTRAL)["message"]
    assert "enterprise_id" not in told
    assert told["authorizations"][0]["enterprise_id"] is None
    assert "enterprise_id" not in auth_test(place.stand_in, Arguments({}))
    assert auth_test(Place().stand_in, Arguments({}))["enterprise_id"] == GRID


@pytest.mark.parametrize(
    ("channel", "kind"), [(seed.OPS, "group"), (seed.GROUP, "mpim"), (seed.DM_ADA, "im"), (seed.MIXTRAL, "channel")]
)
def test_an_event_names_the_kind_of_its_channel(place, channel, kind):
    user = place.workspace.channels[channel].members[0]
    assert place.events(user, channel)["message"]["event"]["channel_type"] == kind


def test_the_app_receives_no_event_of_a_direct_message_of_two_people(place):
    assert place.events(seed.ROBIN, seed.PAIR, "@mixtral hello") == {}


@pytest.mark.parametrize(("user", "team"), [(seed.EVE, THEIRS), (seed.GRID, SIBLING), (seed.ROBIN, OURS)])
def test_a_press_on_a_message_names_the_person_s_team_with_the_person(place, user, team):
    message = place.stand_in.bot_message(place.workspace.channels[seed.MIXTRAL], blocks=[ROW])
    action = {"block_id": "row", "action_id": "end"}
    told = place.interaction(place.interactions.action_on_message, user, message, action, {})
    assert (told["team"]["id"], told["user"]["team_id"]) == (OURS, team)
    assert told["enterprise"]["id"] == GRID


def test_a_modal_is_of_the_person_s_team_and_names_the_app_s(place):
    view = {"type": "modal", "blocks": [], "callback_id": "scale"}
    shown = modals.open_modal(place.workspace, seed.EVE, view)
    told = place.interaction(place.interactions.submit, seed.EVE, shown, {})
    assert (told["team"]["id"], told["user"]["team_id"], told["enterprise"]) == (THEIRS, THEIRS, None)
    assert (told["view"]["team_id"], told["view"]["app_installed_team_id"]) == (THEIRS, OURS)


def test_a_command_names_the_person_s_team_and_no_private_channel(place):
    told = place.interaction(
        place.interactions.slash_command, seed.ROBIN, place.workspace.channels[seed.OPS], "/mixtral status"
    )
    assert (told["team_id"], told["enterprise_id"], told["channel_name"]) == (OURS, GRID, "privategroup")
    of_two = place.workspace.channels[seed.PAIR]
    told = place.interaction(place.interactions.slash_command, seed.ADA, of_two, "/mixtral status")
    assert (told["channel_id"], told["channel_name"]) == (seed.PAIR, "directmessage")


def person(place, user):
    return users_info(place.stand_in, Arguments({"user": user}))["user"]


def test_users_info_tells_guests_and_people_of_other_companies(place):
    robin, gus, eve, grid = (person(place, user) for user in (seed.ROBIN, seed.GUS, seed.EVE, seed.GRID))
    assert (robin["is_restricted"], gus["is_restricted"], gus["is_ultra_restricted"]) == (False, True, True)
    assert (robin["team_id"], grid["team_id"], eve["team_id"]) == (OURS, SIBLING, THEIRS)
    assert (grid["enterprise_user"]["enterprise_id"], grid["enterprise_user"]["teams"]) == (GRID, [SIBLING])
    assert "enterprise_user" not in eve
    assert "is_stranger" not in robin


def test_an_external_person_who_shares_a_channel_with_the_app_is_no_stranger(place):
    assert person(place, seed.EVE)["is_stranger"] is False
    shared = place.workspace.channels.pop(seed.ACME)
    assert seed.EVE in shared.members
    assert person(place, seed.EVE)["is_stranger"] is True


def test_team_info_tells_of_teams_that_share_a_channel_alone(app, robin):
    own, acme = app.call("team.info")["team"], app.call("team.info", team=THEIRS)["team"]
    assert (own["id"], own["enterprise_id"]) == (OURS, GRID)
    assert acme["id"] == THEIRS
    assert "enterprise_id" not in acme
    assert app.call("team.info", team=SIBLING)["team"]["enterprise_id"] == GRID
    robin.administer("channel", channel=seed.ACME, external_teams=[])
    assert app.error("team.info", team=THEIRS) == "team_not_found"
