"""The Slack calls of the card, each made once: whoever calls decides when to call again."""

import http.client
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.slack_response import SlackResponse

from bot.rate import NOW, Rates
from bot.views.message import Message

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 10
"""Seconds for a call."""

PAGE = 200
PAGES_MOST = 5

BAD_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch"})
BAD_METADATA = frozenset(
    {"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"}
)
ITS_OWN_FAULT = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})

RATE_LIMITED = 429
SERVER_ERROR = 500
NOT_FOUND = 404


class SlackCallError(Exception):
    """A Slack call did not do what it should: the message says how, in Slack's words."""


class Busy(SlackCallError):
    """Nothing was called, or Slack turned it away: not before `wait` has passed."""

    def __init__(self, method: str, wait: timedelta) -> None:
        super().__init__(f"{method}: not before {wait.total_seconds():.1f} s from now")
        self.wait = wait


class Refused(SlackCallError):
    """Slack understood, and did not do it."""

    def __init__(self, method: str, error: str) -> None:
        super().__init__(f"{method}: {error}")
        self.error = error


class Unanswered(SlackCallError):
    """Slack may or may not have done it."""


class SlackCalls:
    """Within the shared rate budgets. Every method raises Busy, Refused, Unanswered, RedisError."""

    def __init__(self, client: WebClient, rates: Rates) -> None:
        # The SDK's own handlers repeat a post whose answer was lost, and sleep for as long as Slack says.
        self._client = WebClient(
            token=client.token,
            base_url=client.base_url,
            timeout=ANSWER_WITHIN,
            ssl=client.ssl,
            proxy=client.proxy,
            headers=client.headers,
            retry_handlers=[],
        )
        self._rates = rates

    def post(self, channel: str, message: Message, *, kind: str, deployment: str, thread_ts: str | None = None) -> str:
        """Post a message that `find` finds again; returns its ts."""
        more: dict[str, Any] = {
            "metadata": {"event_type": kind, "event_payload": {"deployment": deployment}},
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if thread_ts is not None:
            more["thread_ts"] = thread_ts
        try:
            posted = self._with_blocks("chat.postMessage", self._client.chat_postMessage, channel, message, more)
        except Refused as refused:
            if refused.error not in BAD_METADATA:
                raise
            more.pop("metadata")
            posted = self._with_blocks("chat.postMessage", self._client.chat_postMessage, channel, message, more)
        return str(posted["ts"])

    def update(self, channel: str, ts: str, message: Message, *, leave: int = 0) -> None:
        """Replace a message of ours. `leave`: how many updates must be left for more important ones."""
        self._with_blocks("chat.update", self._client.chat_update, channel, message, {"ts": ts}, leave=leave)

    def whisper(self, channel: str, user: str, message: Message) -> None:
        """Show a message to one person in a channel."""
        self._with_blocks("chat.postEphemeral", self._client.chat_postEphemeral, channel, message, {"user": user})

    def write_to(self, user: str, message: Message, *, kind: str, deployment: str) -> None:
        """Send a direct message."""
        opened = self._call("conversations.open", self._client.conversations_open, "", {"users": user})
        self.post(str(opened["channel"]["id"]), message, kind=kind, deployment=deployment)

    def find(
        self, channel: str, *, kind: str, deployment: str, since: datetime, thread_ts: str | None = None
    ) -> str | None:
        """The ts of the message that `post` has left, or None."""
        arguments: dict[str, Any] = {
            "channel": channel,
            "limit": PAGE,
            "include_all_metadata": True,
            "oldest": f"{since.timestamp():.6f}",
        }
        method = "conversations.history"
        call: Callable[..., SlackResponse] = self._client.conversations_history
        if thread_ts is not None:
            method, call = "conversations.replies", self._client.conversations_replies
            arguments["ts"] = thread_ts
        for _ in range(PAGES_MOST):
            answer = self._call(method, call, channel, arguments)
            for message in answer.get("messages") or []:
                if _is(message, kind, deployment):
                    return str(message["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            arguments["cursor"] = cursor
        return None

    def _with_blocks(
        self,
        method: str,
        call: Callable[..., SlackResponse],
        channel: str,
        message: Message,
        more: dict[str, Any],
        *,
        leave: int = 0,
    ) -> SlackResponse:
        """Where blocks are refused, the sentence alone is better than nothing."""
        arguments = {"channel": channel, "text": message.text, **more}
        if not message.blocks:
            return self._call(method, call, channel, arguments, leave=leave)
        try:
            return self._call(method, call, channel, {**arguments, "blocks": list(message.blocks)}, leave=leave)
        except Refused as refused:
            if refused.error not in BAD_BLOCKS:
                raise
            logger.exception("blocks were refused, and the text stands alone: %s", message.text)
            return self._call(method, call, channel, arguments)

    def _call(
        self,
        method: str,
        call: Callable[..., SlackResponse],
        channel: str,
        arguments: dict[str, Any],
        *,
        leave: int = 0,
    ) -> SlackResponse:
        if (wait := self._rates.take(method, channel, leave=leave)) > NOW:
            raise Busy(method, wait)
        try:
            return call(**arguments)
        except SlackApiError as error:
            failure = _failure(method, error.response)
            if isinstance(failure, Busy):
                self._rates.hold(method, failure.wait, channel)
            raise failure from error
        except (SlackClientError, OSError, http.client.HTTPException) as error:
            raise Unanswered(f"{method}: {error}") from error


def _failure(method: str, response: Any) -> SlackCallError:
    status = getattr(response, "status_code", 200)
    error = str(response.get("error") or f"HTTP {status}")
    if status == RATE_LIMITED or error in ("ratelimited", "rate_limited"):
        headers = {name.lower(): value for name, value in (getattr(response, "headers", None) or {}).items()}
        after = str(headers.get("retry-after", "1"))
        return Busy(method, timedelta(seconds=int(after) if after.isdigit() else 1))
    if status >= SERVER_ERROR or error in ITS_OWN_FAULT:
        return Unanswered(f"{method}: {error[:200]}")
    return Refused(method, "unknown_method" if status == NOT_FOUND else error[:200])


def _is(message: dict[str, Any], kind: str, deployment: str) -> bool:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") == kind and payload.get("deployment") == deployment:
        return True
    # Where metadata is not kept, the blocks tell.
    return any(block.get("block_id") == f"{kind}_{deployment}" for block in message.get("blocks") or [])
