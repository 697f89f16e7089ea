"""Slack's refusals are sorted by what helps: nothing, waiting, or asking otherwise."""

import http.client
import json
from datetime import timedelta
from urllib.error import URLError

import pytest
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.slack.budgets import LIMITS, NOW, Budgets
from bot.slack.client import within
from bot.slack.failures import SlackAway, SlackBusy, SlackRefused, sorted_out


class Response:
    def __init__(self, status, data, headers=()):
        self.status_code, self.data, self.headers = status, data, dict(headers)


def sort(status, data, headers=()):
    return sorted_out(SlackApiError("no", Response(status, data, headers)))


def test_a_429_says_how_long_to_wait():
    failed = sort(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"})
    assert isinstance(failed, SlackBusy)
    assert failed.seconds == 7


@pytest.mark.parametrize(
    ("status", "data"), [(200, {"error": "unknown_method"}), (404, {"error": "Received …"}), (405, b""), (501, "")]
)
def test_a_method_that_is_not_there_is_remembered_as_such(status, data):
    failed = sort(status, data)
    assert isinstance(failed, SlackRefused)
    assert not failed.known


def test_slacks_own_failures_may_pass():
    assert isinstance(sort(500, {"error": "internal_error"}), SlackAway)
    assert isinstance(sort(503, "down"), SlackAway)
    assert isinstance(sort(200, {"error": "fatal_error"}), SlackAway)


def test_a_refusal_may_say_what_mends_it():
    failed = sort(200, {"error": "not_in_channel"})
    assert isinstance(failed, SlackRefused)
    assert failed.known
    assert "/invite @mixtral" in str(failed)


def test_a_pause_that_is_no_number_is_a_short_one():
    assert sort(429, {}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}).wait == timedelta(seconds=1)


@pytest.mark.parametrize(
    "failure",
    [
        json.JSONDecodeError("no JSON", "<html>", 0),
        http.client.IncompleteRead(b""),
        ConnectionResetError(),
        TimeoutError(),
        SlackClientError("no"),
    ],
)
def test_whatever_is_no_answer_leaves_open_what_happened(redis, failure):
    def call(**_):
        raise failure

    with pytest.raises(SlackAway, match=r"chat\.update"):
        within(Budgets(redis), "chat.update", call, {})


@pytest.mark.parametrize("method", ["chat.delete", "assistant.threads.setStatus", "views.open"])
def test_a_method_that_was_turned_away_is_called_by_nobody_for_as_long_as_slack_said(redis, method):
    def call(**_):
        raise SlackApiError("no", Response(429, {"error": "ratelimited"}, {"Retry-After": "9"}))

    with pytest.raises(SlackBusy):
        within(Budgets(redis), method, call, {})
    assert Budgets(redis).take(method) > NOW
    with pytest.raises(SlackBusy):
        within(Budgets(redis), method, lambda **_: pytest.fail("called"), {})
    assert method in LIMITS


def test_why_slack_could_not_be_reached_stands_in_a_sentence_without_brackets_that_slack_would_read_as_a_link():
    def call():
        raise URLError(ConnectionRefusedError(111, "Connection refused"))

    with pytest.raises(SlackAway, match="Connection refused") as away:
        within(None, "views.open", call, {})
    assert "<" not in str(away.value)
