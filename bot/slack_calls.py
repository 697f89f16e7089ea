"""The Slack calls of the card, each made once: whoever calls decides when to call again."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from slack_sdk import WebClient
from slack_sdk.web.slack_response import SlackResponse

from bot.rate import Rates
from bot.slack_failures import Refused, within
from bot.views.message import Message

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 10
"""Seconds for a call."""

AS_WRITTEN = {"parse": "none", "link_names": False}
"""Only what we wrote as a mention is one. `chat.update` by itself would make mentions of plain @names."""

PAGE = 200
PAGES_MOST = 5

BAD_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch"})
BAD_METADATA = frozenset(
    {"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"}
)


class SlackCalls:
    """Within the shared rate budgets. Every method raises Busy, Refused, Away, RedisError."""

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
            if refused.code not in BAD_METADATA:
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
        opened = self._call("conversations.open", self._client.conversations_open, {"users": user})
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
            answer = self._call(method, call, arguments)
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
        arguments = {"channel": channel, "text": message.text, **AS_WRITTEN, **more}
        if not message.blocks:
            return self._call(method, call, arguments, leave=leave)
        try:
            return self._call(method, call, {**arguments, "blocks": list(message.blocks)}, leave=leave)
        except Refused as refused:
            if refused.code not in BAD_BLOCKS:
                raise
            logger.exception("blocks were refused, and the text stands alone: %s", message.text)
            return self._call(method, call, arguments)

    def _call(
        self,
        method: str,
        call: Callable[..., SlackResponse],
        arguments: dict[str, Any],
        *,
        leave: int = 0,
    ) -> SlackResponse:
        return within(self._rates, method, call, arguments, leave=leave)


def _is(message: dict[str, Any], kind: str, deployment: str) -> bool:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") == kind and payload.get("deployment") == deployment:
        return True
    # Where metadata is not kept, the blocks tell.
    return any(block.get("block_id") == f"{kind}_{deployment}" for block in message.get("blocks") or [])
