"""Slack's refusals are sorted by what helps: nothing, waiting, or asking otherwise."""

import pytest
from slack_sdk.errors import SlackApiError

from bot.prompting.slack_refusals import Away, Busy, Refused, sorted_out


class Response:
    def __init__(self, status, data, headers=()):
        self.status_code, self.data, self.headers = status, data, dict(headers)


def sort(status, data, headers=()):
    return sorted_out(SlackApiError("no", Response(status, data, headers)))


def test_a_429_says_how_long_to_wait():
    failed = sort(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"})
    assert isinstance(failed, Busy)
    assert failed.seconds == 7


@pytest.mark.parametrize(
    ("status", "data"), [(200, {"error": "unknown_method"}), (404, {"error": "Received …"}), (405, b""), (501, "")]
)
def test_a_method_that_is_not_there_is_remembered_as_such(status, data):
    failed = sort(status, data)
    assert isinstance(failed, Refused)
    assert not failed.known


def test_slacks_own_failures_may_pass():
    assert isinstance(sort(500, {"error": "internal_error"}), Away)
    assert isinstance(sort(503, "down"), Away)
    assert isinstance(sort(200, {"error": "fatal_error"}), Away)


def test_a_refusal_may_say_what_mends_it():
    failed = sort(200, {"error": "not_in_channel"})
    assert isinstance(failed, Refused)
    assert failed.known
    assert "/invite @mixtral" in str(failed)
