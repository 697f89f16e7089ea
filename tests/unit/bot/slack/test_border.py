"""Nobody but `bot.slack` calls Slack's Web API. The sandbox is its other end."""

import ast
from pathlib import Path

import pytest
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient

BOT = Path(__file__).parents[4] / "bot"
EXEMPT = (BOT / "slack", BOT / "sandbox")

METHODS = {name for name in dir(WebClient) if "_" in name.strip("_") and not name.startswith("_")} | {"send_dict"}
"""chat_postMessage, views_open, api_call and the others: all names with an underscore in them."""

PRODUCT = [path for path in sorted(BOT.rglob("*.py")) if not any(path.is_relative_to(room) for room in EXEMPT)]


def calls_in(source):
    nodes = ast.walk(ast.parse(source))
    return sorted(node.attr for node in nodes if isinstance(node, ast.Attribute) and node.attr in METHODS)


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(BOT)))
def test_a_module_outside_the_border_names_no_method_of_the_web_api(path):
    assert calls_in(path.read_text()) == []


def test_a_call_past_the_border_would_be_seen():
    assert {"chat_postMessage", "views_open", "api_call", "conversations_info"} <= METHODS
    assert hasattr(WebhookClient, "send_dict")
    assert calls_in("client.chat_postMessage(channel='C1')\nopen = client.views_open") == [
        "chat_postMessage",
        "views_open",
    ]


def test_each_method_of_the_web_api_is_named_in_one_place():
    named = [name for path in sorted((BOT / "slack").rglob("*.py")) for name in calls_in(path.read_text())]
    assert {name for name in named if named.count(name) > 1} == set()
