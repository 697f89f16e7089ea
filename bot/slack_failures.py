"""The ways in which a call of Slack's Web API may fail, sorted into three: one table for the whole bot."""

import http.client
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.slack_response import SlackResponse

from bot.rate import BUDGETS, NOW, Rates

_NO_SUCH_METHOD = frozenset(
    {
        "unknown_method",
        "method_not_supported_for_channel_type",
        "method_deprecated",
        "not_allowed",
        "not_allowed_token_type",
        "missing_scope",
        "no_permission",
        "feature_not_enabled",
        "team_access_not_granted",
        "channel_type_not_supported",
        "streaming_not_enabled",
    }
)
_NO_SUCH_STATUS = frozenset({404, 405, 410, 501})
_ITS_OWN_FAULT = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_RATE_LIMITED = frozenset({"ratelimited", "rate_limited"})
_TOO_MANY = 429
_SERVER_ERROR = 500

_UNANSWERED = (SlackClientError, OSError, http.client.HTTPException, json.JSONDecodeError)
"""Slack may or may not have done it."""

_MENDS = dict.fromkeys(("not_in_channel", "channel_not_found"), " Invite me with `/invite @mixtral`, and ask again.")
_CODE_MOST = 200


class SlackFailed(Exception):
    """A call of Slack's Web API did not do what it should."""


class Refused(SlackFailed):
    """Slack understood and said no: asking again gives the same."""

    def __init__(self, code: str, *, known: bool = True) -> None:
        super().__init__(f"Slack refused: {code}.{_MENDS.get(code, '')}")
        self.code = code
        self.known = known
        """Whether this workspace has the method at all."""


class Busy(SlackFailed):
    """Nothing was called, or Slack turned it away: it wants to be left alone for a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Slack asks for a pause of {seconds:.1f} s.")
        self.seconds = seconds

    @property
    def wait(self) -> timedelta:
        return timedelta(seconds=self.seconds)


class Away(SlackFailed):
    """Slack could not be reached, or failed itself: it is not known whether the call took effect."""


def within(
    rates: Rates, method: str, call: Callable[..., SlackResponse], arguments: dict[str, Any], *, leave: int = 0
) -> SlackResponse:
    """Call a method once, within its budget. `leave`: how many calls must be left for more important ones.

    Raises Busy, Refused, Away, RedisError.
    """
    channel = str(arguments.get("channel") or "")
    if method in BUDGETS and (pause := rates.take(method, channel, leave=leave)) > NOW:
        raise Busy(pause.total_seconds())
    try:
        return call(**arguments)
    except SlackApiError as error:
        failed = sorted_out(error, method)
        if isinstance(failed, Busy) and method in BUDGETS:
            rates.hold(method, failed.wait, channel)
        raise failed from error
    except _UNANSWERED as error:
        raise Away(f"Slack could not be reached for {method} ({type(error).__name__}).") from error


def sorted_out(error: SlackApiError, method: str = "a call") -> SlackFailed:
    """Which of the three an answer of the Web API is."""
    response: Any = error.response
    status = getattr(response, "status_code", 200)
    data = getattr(response, "data", response)
    code = str(data.get("error") or "")[:_CODE_MOST] if isinstance(data, dict) else ""
    if status == _TOO_MANY or code in _RATE_LIMITED:
        return Busy(_retry_after(getattr(response, "headers", None) or {}))
    if status in _NO_SUCH_STATUS or code in _NO_SUCH_METHOD:
        return Refused(code or f"status {status}", known=False)
    if status >= _SERVER_ERROR or code in _ITS_OWN_FAULT:
        return Away(f"Slack failed at {method} (status {status} {code}).")
    return Refused(code or f"status {status}")


def _retry_after(headers: Any) -> float:
    said = {str(name).lower(): value for name, value in headers.items()}.get("retry-after", "1")
    try:
        return max(0.0, float(said[0] if isinstance(said, list) else said))
    except ValueError:
        return 1.0  # HTTP allows a date here
