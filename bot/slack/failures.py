"""Failures of calls of Slack's Web API: busy, refused, away."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from slack_sdk.errors import SlackApiError, SlackClientError

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
_INTERNAL = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_RATE_LIMITED = frozenset({"ratelimited", "rate_limited"})
_TOO_MANY = 429
_SERVER_ERROR = 500

_UNANSWERED = (SlackClientError, OSError, http.client.HTTPException, json.JSONDecodeError)
"""The call may have taken effect."""

_MENDS = dict.fromkeys(
    ("not_in_channel", "channel_not_found"), " Invite the bot with `/invite @mixtral`, and ask again."
)
_CODE_LIMIT = 200


class SlackFailed(Exception):
    """A call of Slack's Web API failed."""


class SlackRefused(SlackFailed):
    """Slack refused the call. The same call would be refused again."""

    def __init__(self, code: str, *, known: bool = True) -> None:
        super().__init__(f"Slack refused: {code}.{_MENDS.get(code, '')}")
        self.code = code
        self.known = known
        """False if the method is missing, in this channel or in the workspace (`missing_methods`)."""


class SlackBusy(SlackFailed):
    """The budget is spent, or Slack answered 429. The call has had no effect."""

    def __init__(self, seconds: float, *, budget: str = "", channel: str = "") -> None:
        """`budget`: the one that is spent (`budgets.budget_of`); empty if it is none. `channel`: of the call."""
        super().__init__(f"Slack requires a pause of {seconds:.1f} s.")
        self.seconds = seconds
        self.budget = budget
        self.channel = channel

    @property
    def wait(self) -> timedelta:
        return timedelta(seconds=self.seconds)


class SlackAway(SlackFailed):
    """Slack could not be reached, or reported an internal error. The call may have taken effect."""


@contextmanager
def translated(method: str) -> Iterator[None]:
    """Raise SlackBusy, SlackRefused or SlackAway instead of the SDK's error, which becomes the cause."""
    try:
        yield
    except SlackApiError as error:
        raise sorted_out(error, method) from error
    except _UNANSWERED as error:
        # The text of other errors may contain the request, and a key with it.
        # The reason of a URLError, without its brackets: Slack would show "<…>" as a link.
        why = str(getattr(error, "reason", None) or error) if isinstance(error, OSError) else type(error).__name__
        raise SlackAway(f"Slack could not be reached for {method} ({why or type(error).__name__}).") from error


def sorted_out(error: SlackApiError, method: str = "a call") -> SlackFailed:
    """Return the failure for an error response of the Web API."""
    response: Any = error.response
    status = getattr(response, "status_code", 200)
    data = getattr(response, "data", response)
    code = str(data.get("error") or "")[:_CODE_LIMIT] if isinstance(data, dict) else ""
    if status == _TOO_MANY or code in _RATE_LIMITED:
        return SlackBusy(_retry_after(getattr(response, "headers", None) or {}))
    if status in _NO_SUCH_STATUS or code in _NO_SUCH_METHOD:
        return SlackRefused(code or f"status {status}", known=False)
    if status >= _SERVER_ERROR or code in _INTERNAL:
        return SlackAway(f"Slack failed at {method} (status {status} {code}).")
    return SlackRefused(code or f"status {status}")


def _retry_after(headers: Any) -> float:
    said = {str(name).lower(): value for name, value in headers.items()}.get("retry-after", "1")
    try:
        return max(0.0, float(said[0] if isinstance(said, list) else said))
    except ValueError:
        return 1.0  # HTTP also allows a date
