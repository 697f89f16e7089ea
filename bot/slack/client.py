"""Makes the clients of Slack's Web API, and makes one call within its rate budget."""

from collections.abc import Callable
from typing import TypeAlias

from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler
from slack_sdk.web.slack_response import SlackResponse

from bot.slack.budgets import LIMITS, NOW, Budgets, budget_of
from bot.slack.failures import SlackBusy, translated
from bot.slack.message import JSON

Call: TypeAlias = Callable[..., SlackResponse]

API_URL = WebClient.BASE_URL

TIMEOUT = 10
"""Seconds for one call."""
ACK_TIMEOUT = 1
"""Seconds for one call that is made before an ack, which is due within 3 seconds."""


def web_client(token: str, api_url: str = "", *, timeout: int = TIMEOUT) -> WebClient:
    """Return a client that sends each request once.

    The SDK's default handlers send a request again when the connection ends before the response. A message whose
    response was lost would be posted twice.
    """
    return WebClient(token, base_url=_base(api_url), timeout=timeout, retry_handlers=[])


def bolt_client(token: str, api_url: str) -> WebClient:
    """Return Bolt's own client. Bolt calls auth.test and apps.connections.open, which may be repeated."""
    retries = [ConnectionErrorRetryHandler(max_retry_count=2), RateLimitErrorRetryHandler(max_retry_count=3)]
    return WebClient(token, base_url=_base(api_url), timeout=15, retry_handlers=retries)


def socket_url(web: WebClient, app_token: str) -> str:
    """Return the address of a new socket. Raises SlackBusy, SlackRefused, SlackAway."""
    opened = within(None, "apps.connections.open", web.apps_connections_open, {"app_token": app_token})
    return str(opened["url"])


def within(budgets: Budgets | None, method: str, call: Call, arguments: JSON, *, leave: int = 0) -> SlackResponse:
    """Call a method once, within its budget. `leave`: number of calls that stay available to others.

    Raises SlackBusy, SlackRefused, SlackAway, RedisError.
    """
    channel = str(arguments.get("channel") or "")
    about = {"budget": budget_of(method, channel), "channel": channel or str(arguments.get("channel_id") or "")}
    limited = budgets if method in LIMITS else None
    if limited is not None and (pause := limited.take(method, channel, leave=leave)) > NOW:
        raise SlackBusy(pause.total_seconds(), **about)
    try:
        with translated(method):
            return call(**arguments)
    except SlackBusy as busy:
        if limited is not None:
            limited.hold(method, busy.wait, channel)
        raise SlackBusy(busy.seconds, **about) from busy


def _base(api_url: str) -> str:
    return f"{(api_url or API_URL).rstrip('/')}/"
