"""The ways in which Slack may say no, sorted into three: pure."""

from typing import Any

from slack_sdk.errors import SlackApiError

from bot.prompting.errors import PromptingError

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
_TOO_MANY = 429
_SERVER_ERROR = 500

_MENDS = dict.fromkeys(("not_in_channel", "channel_not_found"), " Invite me with `/invite @mixtral`, and ask again.")


class SlackFailed(PromptingError):
    """A call of Slack's Web API did not do what it should."""


class Refused(SlackFailed):
    """Slack understood and said no: asking again gives the same."""

    def __init__(self, code: str, *, known: bool) -> None:
        super().__init__(f"Slack refused: {code}.{_MENDS.get(code, '')}")
        self.code = code
        self.known = known
        """Whether this workspace has the method at all."""


class Busy(SlackFailed):
    """Slack wants to be left alone for a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Slack asks for a pause of {seconds:.0f} s.")
        self.seconds = seconds


class Away(SlackFailed):
    """Slack could not be reached, or failed itself: it is not known whether the call took effect."""


def sorted_out(error: SlackApiError) -> SlackFailed:
    """Which of the three an answer of the Web API is."""
    response: Any = error.response
    status = getattr(response, "status_code", 200)
    data = getattr(response, "data", response)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    if status == _TOO_MANY or code == "ratelimited":
        headers = {str(k).lower(): v for k, v in (getattr(response, "headers", None) or {}).items()}
        said = headers.get("retry-after", "1")
        return Busy(float(said[0] if isinstance(said, list) else said))
    if status in _NO_SUCH_STATUS or code in _NO_SUCH_METHOD:
        return Refused(code or f"status {status}", known=False)
    if status >= _SERVER_ERROR or code in ("internal_error", "fatal_error", "service_unavailable", "request_timeout"):
        return Away(f"Slack failed (status {status} {code}).")
    return Refused(code or f"status {status}", known=True)
