"""What Slack does not send is rejected before Bolt reads it; what it sends passes."""

import copy

import pytest

from bot.slack.payload import Malformed, checked

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
        *(SUBMISSION | {"response_urls": [[]]}, SUBMISSION | {"view": VIEW | {"type": None}}, COMMAND | {"text": None}),
        *(SUBMISSION | {"view": VIEW | {"state": {"values": {"a": []}}}}, COMMAND | {"user_id": {"id": "U1"}}),
        *(EVENT | {"event": SAID | {"ts": "1795442700.1e9"}}, EVENT | {"event": SAID | {"channel": None}}),
        *(EVENT | {"event": SAID | {"files": {}}}, EVENT | {"event": []}, EVENT | {"event": {"type": 1}}),
        *(EVENT | {"event": SAID | {"edited": {"ts": "x"}}}, EVENT | {"event": SAID | {"attachments": [1]}}),
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
