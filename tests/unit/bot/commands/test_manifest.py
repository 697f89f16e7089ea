"""The manifest that people paste into Slack."""

import json
import re
from pathlib import Path

from slack_bolt import BoltContext

import bot
from bot.language.command import SLASH, USAGES
from bot.screens.presses import caller_of
from bot.views import ask_form

MANIFEST = json.loads((Path(bot.__file__).parent / "manifest.json").read_text())
SCOPES = MANIFEST["oauth_config"]["scopes"]["bot"]
MANUAL = Path(bot.__file__).parents[1] / "docs" / "slack.md"


def test_it_registers_our_command_with_every_word_of_it():
    [command] = MANIFEST["features"]["slash_commands"]
    assert command["command"] == SLASH
    assert set(command["usage_hint"].split(" | ")) == set(USAGES)


def test_its_shortcut_is_the_one_that_the_bot_listens_to_within_slacks_limits():
    [shortcut] = MANIFEST["features"]["shortcuts"]
    assert shortcut["callback_id"] == ask_form.SHORTCUT
    assert shortcut["type"] == "message"
    assert len(shortcut["name"]) <= 24
    assert "commands" in SCOPES


def test_slack_tells_it_whom_a_command_mentions():
    [command] = MANIFEST["features"]["slash_commands"]
    assert command["should_escape"] is True


def test_every_event_has_the_scope_that_lets_it_through():
    needs = {
        "app_mention": "app_mentions:read",
        "message.channels": "channels:history",
        "message.groups": "groups:history",
        "message.im": "im:history",
        "message.mpim": "mpim:history",
        "channel_id_changed": "groups:read",
        "agent_session_stopped": "assistant:write",
        "app_home_opened": None,
        "app_uninstalled": None,
        "tokens_revoked": None,
    }
    events = MANIFEST["settings"]["event_subscriptions"]["bot_events"]
    assert set(events) == set(needs)
    assert {scope for scope in needs.values() if scope} <= set(SCOPES)


def test_the_documentation_says_what_each_scope_and_each_event_is_for():
    rows = [line.split("|") for line in MANUAL.read_text().splitlines() if line.startswith("| `")]
    documented = {word for _, first, *_ in rows for word in re.findall(r"`([a-z_]+[:.]?[a-z_.]+)`", first)}
    assert set(SCOPES) <= documented
    assert set(MANIFEST["settings"]["event_subscriptions"]["bot_events"]) <= documented
    scopes = {word for word in documented if ":" in word}
    assert scopes <= {*SCOPES, "connections:write"}


def test_two_requests_without_a_trigger_id_are_two():
    assert caller_of({"user_id": "U1"}, BoltContext()).once != caller_of({"user_id": "U1"}, BoltContext()).once
