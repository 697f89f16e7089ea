"""What Bolt and the listeners cannot read is rejected before them; what Slack sends passes."""

import copy
from typing import Any

import pytest
from slack_bolt import BoltContext
from slack_bolt.request.internals import build_context

from bot.slack.payload import Malformed, checked
from tests.slack_shapes import RECORDED, rows

CLICK = {
    "type": "block_actions",
    "user": {"id": "U1", "team_id": "T1"},
    "team": None,
    "enterprise": {"id": "E1"},
    "channel": {"id": "C1", "name": "mixtral"},
    "container": {"type": "message", "message_ts": "1795442700.000100", "channel_id": "C1"},
    "actions": [{"type": "button", "action_id": "card_down", "value": "d-1", "action_ts": "1.2"}],
    "response_url": "https://hooks.slack.com/actions/T1/1/x",
}
VIEW = {"id": "V1", "hash": "1.a", "type": "modal", "callback_id": "scale", "private_metadata": "d-1"}
SUBMISSION = {"type": "view_submission", "user": {"id": "U1"}, "view": VIEW, "response_urls": []}
COMMAND = {"command": "/mixtral", "text": "status", "user_id": "U1", "channel_id": "C1", "team_id": "T1"}
SAID = {
    "type": "message",
    "channel": "C1",
    "user": "U1",
    "ts": "1.2",
    "text": "Hi",
    "edited": {"user": "U1", "ts": "1.3"},
}
EVENT = {"type": "event_callback", "team_id": "T1", "event": SAID, "authorizations": [{"team_id": "T1"}]}
CHANGED = EVENT | {
    "event": {"type": "message", "subtype": "message_changed", "channel": "C1", "message": {"ts": "1.2"}}
}
JOINED = EVENT | {"event": {"type": "team_join", "user": {"id": "U1", "name": "robin"}}}
CERTIFICATE = {"ssl_check": "1", "token": "x"}


@pytest.mark.parametrize("body", [CLICK, SUBMISSION, COMMAND, EVENT, CHANGED, JOINED, CERTIFICATE, {"type": "later"}])
def test_what_slack_sends_passes(body):
    assert checked(copy.deepcopy(body)) == body


@pytest.mark.parametrize(
    "body",
    [
        *([], "text", None, 7, {"type": ["block_actions"]}, CLICK | {"user": "U 1"}, CLICK | {"actions": []}),
        *(CLICK | {"actions": [{"value": 1, "action_id": "x"}]}, CLICK | {"actions": {}}, CLICK | {"container": "C1"}),
        *(CLICK | {"container": {"message_ts": "NaN"}}, CLICK | {"authorizations": [[]]}, SUBMISSION | {"view": None}),
        *(SUBMISSION | {"response_urls": [[]]}, SUBMISSION | {"view": VIEW | {"type": None}}, COMMAND | {"text": 7}),
        *(SUBMISSION | {"view": VIEW | {"state": {"values": {"a": []}}}}, COMMAND | {"user_id": {"id": "U1"}}),
        *(EVENT | {"event": SAID | {"ts": "1795442700.1e9"}}, EVENT | {"event": SAID | {"channel": {}}}),
        *(EVENT | {"event": SAID | {"files": {}}}, EVENT | {"event": []}, EVENT | {"event": {"type": 1}}),
        *(EVENT | {"event": SAID | {"edited": {"ts": "x"}}}, EVENT | {"event": SAID | {"attachments": [1]}}),
        {"view": "1", "trigger_id": "1.x"},
        {"view": {"id": "V1", "hash": "1", "type": "home", "callback_id": "", "state": "1"}},
        {"actions": ["1"]},
    ],
)
def test_what_slack_does_not_send_is_rejected(body):
    with pytest.raises(Malformed):
        checked(body)


def test_deep_nesting_is_rejected():
    deep: list[object] = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(Malformed, match="deep"):
        checked({"type": "x", "blocks": deep})


def test_halves_of_characters_are_replaced():
    assert checked(COMMAND | {"text": "a\ud800b 🧂 \ud83e\uddc2"})["text"] == "a\N{REPLACEMENT CHARACTER}b 🧂 🧂"


GRID = {"enterprise_id": "E1", "team_id": None, "user_id": "U1", "is_bot": True, "is_enterprise_install": True}
PERSON = {"user": {"id": "W1", "username": "robin", "team_id": "T1"}, "team": {"id": "T1", "domain": "x"}}
ON_GRID = PERSON | {"team": None, "enterprise": {"id": "E1", "name": "x"}, "is_enterprise_install": True}
FULL_VIEW = VIEW | {
    "team_id": "T1",
    "blocks": [],
    "close": None,
    "previous_view_id": None,
    "external_id": "",
    "app_installed_team_id": None,
    "bot_id": None,
}
INPUTS = {
    "a": {"type": "rich_text_input", "rich_text_value": {"type": "rich_text", "elements": []}},
    "b": {"type": "static_select", "selected_option": None},
    "c": {"type": "users_select", "selected_user": None},
    "d": {"type": "file_input", "files": []},
    "e": {"type": "number_input", "value": "3"},
    "f": {"type": "datetimepicker", "selected_date_time": None},
    "g": {"type": "checkboxes", "selected_options": []},
}
FUNCTION = {"id": "Fn1", "callback_id": "x", "type": "app", "input_parameters": [], "date_created": 1}


def event(type_, **fields):
    outer = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "authorizations": [GRID]}
    return outer | {"event": {"type": type_, "event_ts": "1.1", **fields}}


def message(subtype=None, **fields):
    about = {} if subtype is None else {"subtype": subtype}
    return event("message", **({"channel": "C1", "ts": "1.2", "text": "Hi"} | about | fields))


def interaction(type_, **fields):
    return {"type": type_, **PERSON, "trigger_id": "1.1.x", "enterprise": None, "action_ts": "1.1"} | fields


DOCUMENTED: dict[str, dict[str, Any]] = {
    "url_verification": {"type": "url_verification", "token": "x", "challenge": "y"},
    "app_rate_limited": {"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1, "api_app_id": "A1"},
    "ssl_check": {"ssl_check": "1", "token": "x"},
    "command": COMMAND | {"text": "", "enterprise_id": "", "is_enterprise_install": "false", "trigger_id": "1.1.x"},
    "command on Grid": COMMAND | {"text": None, "team_id": None, "enterprise_id": "E1"},
    "bot_message": message("bot_message", bot_id="B1", username=None, icons={}, text=None, bot_profile=None),
    "attachments": message("bot_message", attachments=[{"id": 1, "fallback": "x", "fields": [], "text": None}]),
    "no user": message("file_comment", user=None, file={}, comment={}),
    "null channel": message("channel_join", user="U1", channel=None),
    "no channel": {**event("message", subtype="ekm_access_denied", ts="1.2", text="x", user="UREVOKEDU")},
    "no ts": event("message", subtype="message_replied", channel="C1", message={"ts": "1.2", "replies": [{}]}),
    "changed": message("message_changed", channel=None, message={"ts": "1.1", "subtype": "bot_message"}),
    "deleted": message("message_deleted", deleted_ts="1.1", previous_message={"ts": "1.1", "edited": None}),
    "mention on Grid": event("app_mention", user="W1", text="x", ts="1.1", channel="C1", team=None, user_team="E1"),
    "function": event("function_executed", function=FUNCTION, inputs={"user_id": "U1"}, bot_access_token="xwfp"),
    "assistant": event("assistant_thread_started", assistant_thread={"user_id": "U1", "channel_id": "D1"}),
    "link_shared": event("link_shared", channel="COMPOSER", user="U1", message_ts="5f6aa8b0-5d2f", links=[]),
    "entity": event("entity_details_requested", user="U1", channel="C1", thread_ts="", external_ref={"id": "1"}),
    "reaction": event("reaction_added", user="U1", item={"type": "message", "channel": "C1", "ts": "1.1"}),
    "channel_created": event("channel_created", channel={"id": "C1", "name": "x", "created": 1, "creator": "U1"}),
    "home": event("app_home_opened", user="U1", channel="D1", tab=None),
    "home view": event("app_home_opened", user="U1", tab="home", view=FULL_VIEW | {"callback_id": ""}),
    "tokens_revoked": event("tokens_revoked", tokens={"oauth": ["U1"]}),
    "no authorizations": event("app_uninstalled") | {"authorizations": None, "enterprise_id": None},
    "shortcut": interaction("shortcut", callback_id="x"),
    "view_closed": interaction("view_closed", view=FULL_VIEW, is_cleared=False) | ON_GRID,
    "submission": interaction("view_submission", view=FULL_VIEW | {"state": {"values": {"b": INPUTS}}}),
    "no inputs": interaction("view_submission", view=FULL_VIEW | {"private_metadata": None, "state": {"values": []}}),
    "suggestion": interaction("block_suggestion", action_id="a", value="", container={"type": "view"}, view=FULL_VIEW),
    "home click": interaction("block_actions", view=FULL_VIEW | {"callback_id": ""}, actions=[{"action_id": "a"}]),
    "overflow": CLICK | {"actions": [{"action_id": "a", "selected_option": {"value": "x"}, "type": "overflow"}]},
    "function click": CLICK | {"function_data": {"execution_id": "Fx1"}, "channel": None, "bot_access_token": "xwfp"},
    "legacy button": interaction("interactive_message", actions=[{"name": "x", "value": "y"}], original_message={}),
    "dialog": interaction("dialog_submission", submission={"a": None}, callback_id="x", state=""),
    "message_action": interaction(
        "message_action",
        channel=None,
        message_ts="1.1",
        message={"ts": "1.1", "text": None, "user": None, "files": None, "attachments": None, "blocks": None},
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_slack_documents_passes_also_where_a_field_is_null(name):
    body = checked(copy.deepcopy(DOCUMENTED[name]))
    assert body == DOCUMENTED[name]
    build_context(BoltContext(), body)


def test_addresses_that_are_null_are_left_out_because_bolt_counts_them():
    body = checked(DOCUMENTED["submission"] | {"response_urls": None})
    assert "response_urls" not in body
    build_context(BoltContext(), body)


VALUES = {"object": {}, "array": [], "string": "x", "number": 1, "integer": 1, "boolean": False}
RECEIVED = {
    name: [row for row in rows(RECORDED) if row["name"] == name]
    for name in dict.fromkeys(row["name"] for row in rows(RECORDED))
    if name.startswith("event ") or "." not in name
}
NEEDED = {"type", "command", "event", "event.type", "event.tokens", "actions", "view"} | {
    *("view.id", "view.hash", "view.type", "view.callback_id", "actions[].action_id")
}
"""Fields that a listener, or Bolt, cannot do without. Slack documents all of them as required."""


def recorded(name, without=""):
    """A payload with all fields that Slack has recorded, in which one is null."""
    body: dict[str, Any] = {}
    for row in RECEIVED[name]:
        *parts, last = row["path"].replace("[]", ".0").split(".")
        inner: Any = body
        for part in parts:
            inner = inner and inner[0 if part == "0" else part]
        value = None if row["path"] == without else copy.deepcopy(VALUES[row["type"]])
        if row["type"] == "string" and last.endswith("ts"):
            value = value and "1795442700.000100"
        if inner is None:
            continue
        if last == "0":
            inner.append(value)
        else:
            inner[last] = value
    _, *kind = name.split(" ")
    if kind and body["event"] is not None:
        body["event"] |= dict(zip(("type", "subtype"), kind, strict=False))
    elif "type" in body:
        body["type"] = name
    return body


@pytest.mark.parametrize("name", RECEIVED)
def test_what_slack_has_recorded_passes_also_where_a_field_is_null(name):
    assert checked(recorded(name))
    for path in (
        {row["path"] for row in RECEIVED[name] if not row["path"].endswith("[]")}
        - NEEDED
        - {"event.user" if "home" in name else ""}
    ):
        assert checked(recorded(name, without=path)), path


def test_at_least_the_kinds_that_the_bot_receives_are_recorded():
    assert {"block_actions", "view_submission", "view_closed", "message_action", "slash_commands"} <= RECEIVED.keys()
    assert len(RECEIVED) >= 21
