"""A token allows the calls of its scopes, and a refusal names the missing scope."""

import pytest

from bot.sandbox import manifest, scopes, seed
from bot.sandbox.arguments import Arguments
from bot.sandbox.limits import SlackError
from bot.sandbox.methods import METHODS
from tests.person import MIXTRAL

CHANNELS = {channel.id: channel for channel in seed.COMPANY.channels}


def missing(granted, method, channel=None, **given):
    """The scopes that Slack names as needed, or "" if it allows the call."""
    try:
        scopes.check(set(granted), method, Arguments(given), CHANNELS.get(channel))
    except SlackError as refused:
        return refused.fields["needed"]
    return ""


@pytest.mark.parametrize(
    ("channel", "scope"),
    [
        (seed.MIXTRAL, "channels:history"),
        (seed.OPS, "groups:history"),
        (seed.GROUP, "mpim:history"),
        (seed.DM_ADA, "im:history"),
    ],
)
def test_each_kind_of_channel_has_its_own_scope_for_its_messages(channel, scope):
    others = {"channels:history", "groups:history", "mpim:history", "im:history"} - {scope}
    assert missing(others, "conversations.replies", channel) == scope
    assert missing({scope}, "conversations.replies", channel) == ""


def test_a_list_requires_the_scopes_of_all_kinds_that_it_asks_for():
    assert missing({"channels:read"}, "conversations.list") == ""
    assert missing({"channels:read"}, "conversations.list", types="public_channel, im,mpim") == "im:read,mpim:read"


def test_a_token_without_any_scope_of_the_method_learns_them_all():
    needed = "channels:read,groups:read,im:read,mpim:read"
    assert missing({"chat:write"}, "conversations.info", "C0NOWHERE") == needed
    assert missing({"im:read"}, "conversations.info", "C0NOWHERE") == ""


def test_a_direct_message_and_a_group_are_opened_with_different_scopes():
    assert missing({"im:write"}, "conversations.open", users="U1") == ""
    assert missing({"im:write"}, "conversations.open", users="U1,U2") == "mpim:write"


def test_every_method_states_what_it_requires_or_requires_nothing():
    free = {"api.test", "auth.test", "blocks.validate", "chat.getPermalink"}
    assert {m for m in METHODS if not scopes.accepted(m) and not m.startswith("views.")} <= free


@pytest.mark.parametrize(
    ("event", "scope"),
    [
        ({"type": "message", "channel_type": "group"}, "groups:history"),
        ({"type": "message", "channel_type": "mpim"}, "mpim:history"),
        ({"type": "app_mention"}, "app_mentions:read"),
    ],
)
def test_an_event_comes_only_with_its_scope(event, scope):
    assert scopes.allow({scope}, event)
    assert not scopes.allow(set(manifest.SCOPES) - {scope}, event)


def test_every_answer_names_the_token_s_scopes_and_those_of_the_method(app, robin):
    robin.administer("scope", scope="groups:history", granted=False)
    allowed = app.response("conversations.history", channel=MIXTRAL)
    refused = app.response("conversations.history", channel=seed.OPS)
    assert allowed.json()["ok"]
    assert (refused.json()["error"], refused.json()["needed"]) == ("missing_scope", "groups:history")
    assert refused.json()["provided"] == refused.headers["x-oauth-scopes"]
    for answer in (allowed, refused):
        assert "groups:history" not in answer.headers["x-oauth-scopes"].split(",")
        assert answer.headers["x-accepted-oauth-scopes"] == "channels:history,groups:history,im:history,mpim:history"
    robin.administer("scope", scope="groups:history", granted=True)
    assert app.error("conversations.history", channel=seed.OPS) == "ok"


def test_without_the_scope_for_commands_there_is_no_command(robin):
    robin.administer("scope", scope="commands", granted=False)
    assert (
        robin.post("/page/send", channel=MIXTRAL, text="/mixtral status")["error"] == "/mixtral is not a valid command."
    )
