"""The manifest that people paste into Slack."""

import json
from pathlib import Path

import bot
from bot.language.command import SLASH, USAGES
from bot.listeners import caller_of

MANIFEST = json.loads((Path(bot.__file__).parent / "manifest.json").read_text())


def test_it_registers_our_command_with_every_word_of_it():
    [command] = MANIFEST["features"]["slash_commands"]
    assert command["command"] == SLASH
    assert set(command["usage_hint"].split(" | ")) == set(USAGES)


def test_slack_tells_it_whom_a_command_mentions():
    [command] = MANIFEST["features"]["slash_commands"]
    assert command["should_escape"] is True


def test_every_event_has_the_scope_that_lets_it_through():
    needs = {
        "app_mention": "app_mentions:read",
        "message.channels": "channels:history",
        "message.groups": "groups:history",
        "message.im": "im:history",
        "app_home_opened": None,
    }
    events = MANIFEST["settings"]["event_subscriptions"]["bot_events"]
    assert set(events) == set(needs)
    assert {scope for scope in needs.values() if scope} <= set(MANIFEST["oauth_config"]["scopes"]["bot"])


def test_two_requests_without_a_trigger_id_are_two():
    assert caller_of({"user_id": "U1"}).once != caller_of({"user_id": "U1"}).once
