"""The calls of Slack's Web API that the bot makes, typed. Each sends one request."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from slack_sdk import WebClient
from slack_sdk.web.slack_response import SlackResponse

from bot.slack.budgets import Budgets
from bot.slack.channel_ids import ChannelIds
from bot.slack.client import Call, socket_url
from bot.slack.failures import SlackRefused
from bot.slack.lockout import Lockout
from bot.slack.message import JSON, Message
from bot.slack.slack_lookups import SlackLookups

_LOG = logging.getLogger(__name__)

AS_WRITTEN = {"parse": "none", "link_names": False}
"""Only the bot's own markup mentions. `chat.update` makes mentions of plain @names by default."""
WITHOUT_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}

BAD_BLOCKS = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "block_mismatch",
        "invalid_attachments",  # two tables in a message, also where Slack made them from Markdown
    }
)
BAD_METADATA = frozenset(
    {"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app"}
)
INVALID = frozenset({"invalid_blocks", "invalid_message", "invalid_view"})
"""Error codes with which blocks.validate lists faults."""

NEW_BLOCKS = "new blocks"
"""The entry in MissingMethods for blocks that `Message.instead` replaces: after a refusal, not sent for an hour."""

REPORTED_EVERY = 3600.0
"""Interval in seconds between two log lines about refused blocks of one method."""


class SlackCalls(SlackLookups):
    """Safe to use from several threads.

    Methods raise SlackBusy, SlackRefused, SlackAway, LockedOut. Those with a budget (`budgets.LIMITS`) take one call
    from it for each request, and raise RedisError.
    """

    def __init__(
        self,
        web: WebClient,
        budgets: Budgets | None,
        stopping: threading.Event | None = None,
        *,
        lockout: Lockout | None = None,
        ids: ChannelIds | None = None,
    ) -> None:
        """The arguments are those of `SlackLookups`."""
        super().__init__(web, budgets, stopping, lockout=lockout, ids=ids)
        self._reported_at: dict[str, float] = {}

    def check_app_token(self, token: str) -> None:
        """Raise SlackRefused if the app-level token cannot open a socket."""
        socket_url(self._web, token)

    def faults(self, shown: Message | JSON) -> list[str]:
        """Return the faults that Slack reports in the blocks of a message or in a view. Nothing is shown to people."""
        about: JSON = {"message": {"blocks": list(shown.blocks)}} if isinstance(shown, Message) else {"view": shown}
        try:
            self._call("blocks.validate", self._web.blocks_validate, **about)
        except SlackRefused as refused:
            if refused.code not in INVALID:
                raise
            return _faults(refused)
        return []

    def post(
        self,
        channel: str,
        message: Message,
        *,
        thread: str | None = None,
        metadata: JSON | None = None,
        text_alone: bool = True,
    ) -> str:
        """Post a message and return its ts. If Slack refuses the metadata, it is left out.

        `text_alone`: whether the text may be sent without blocks that Slack refuses.
        """
        about: JSON = {"channel": channel, "thread_ts": thread, "metadata": metadata, **WITHOUT_PREVIEWS}
        call = self._web.chat_postMessage
        try:
            return str(self._say("chat.postMessage", call, message, text_alone=text_alone, **about)["ts"])
        except SlackRefused as refused:
            if metadata is None or refused.code not in BAD_METADATA:
                raise
            return self.post(channel, message, thread=thread, text_alone=text_alone)

    def update(
        self,
        channel: str,
        ts: str,
        message: Message,
        *,
        leave: int = 0,
        text_alone: bool = True,
        metadata: JSON | None = None,
    ) -> None:
        """Replace a message of the bot. `text_alone`: as in `post`. `metadata`: None to leave it as it is.

        `leave`: number of updates that stay available to others.
        """
        about: JSON = {"channel": channel, "ts": ts} | ({"metadata": metadata} if metadata else {})
        self._say("chat.update", self._web.chat_update, message, leave=leave, text_alone=text_alone, **about)

    def delete(self, channel: str, ts: str) -> None:
        self._call("chat.delete", self._web.chat_delete, channel=channel, ts=ts)

    def whisper(
        self, channel: str, user: str, message: Message, *, thread: str | None = None, text_alone: bool = True
    ) -> None:
        """Show an ephemeral message to one person in a channel. It cannot be looked up.

        `text_alone`: whether the text may be sent without blocks that Slack refuses.
        """
        about: JSON = {"channel": channel, "user": user, "thread_ts": thread}
        self._say("chat.postEphemeral", self._web.chat_postEphemeral, message, text_alone=text_alone, **about)

    def open_direct(self, user: str) -> str:
        """Return the channel of the direct messages with a person."""
        opened = self._call("conversations.open", self._web.conversations_open, users=user)
        return str((opened.get("channel") or {}).get("id") or "")

    def start_stream(self, channel: str, thread: str, team: str, user: str, markdown: str) -> str:
        """Start a stream, and return the ts of its message."""
        started = self._call(
            "chat.startStream",
            self._web.chat_startStream,
            channel=channel,
            thread_ts=thread,
            recipient_team_id=team or None,
            recipient_user_id=user or None,
            markdown_text=markdown,
        )
        if not started.get("ts"):
            without_ts = SlackRefused("no ts", known=False)
            self.note("chat.startStream", channel, without_ts)
            raise without_ts
        return str(started["ts"])

    def append_stream(self, channel: str, ts: str, markdown: str) -> None:
        self._call("chat.appendStream", self._web.chat_appendStream, channel=channel, ts=ts, markdown_text=markdown)

    def stop_stream(
        self, channel: str, ts: str, *, below: Sequence[JSON] = (), metadata: JSON | None = None, is_last: bool = True
    ) -> None:
        """End a stream, with the blocks `below`, and the session of its thread unless `is_last` is False."""
        blocks = list(below) or None
        status = None if is_last else "processing"  # Slack's default is `active`
        about: JSON = {"channel": channel, "ts": ts, "blocks": blocks, "metadata": metadata, "session_status": status}
        self._call("chat.stopStream", self._web.chat_stopStream, **about)

    def set_status(self, channel: str, thread: str, status: str) -> None:
        """Show a line such as "is thinking…" below a thread; an empty one ends the session's processing."""
        about: JSON = {"channel_id": channel, "thread_ts": thread, "status": status}
        self._call("assistant.threads.setStatus", self._web.assistant_threads_setStatus, **about)

    def set_session(self, channel: str, thread: str, status: str) -> None:
        """Set the status of a thread's session: `processing`, which shows Stop, or `active`."""
        about: JSON = {"channel_id": channel, "thread_ts": thread, "status": status}
        self._call("agents.sessions.setStatus", self._web.agents_sessions_setStatus, **about)

    def open_view(self, trigger: str, view: JSON) -> JSON:
        """Open a modal; returns it as Slack stores it. A trigger is valid once, and for three seconds."""
        return self._call("views.open", self._web.views_open, trigger_id=trigger, view=view).get("view") or {}

    def update_view(self, view_id: str, view: JSON, *, shown: str) -> str:
        """Replace an open modal, and return the new view's hash.

        `shown`: the hash of the view that is replaced; Slack refuses if it has changed.
        """
        updated = self._call("views.update", self._web.views_update, view_id=view_id, view=view, hash=shown)
        return str((updated.get("view") or {}).get("hash") or "")

    def publish_home(self, user: str, view: JSON, *, leave: int = 0) -> None:
        """Replace a person's Home tab. `leave`: number of calls that stay available to others."""
        self._call("views.publish", self._web.views_publish, leave=leave, user_id=user, view=view)

    def _say(
        self, method: str, call: Call, message: Message, *, leave: int = 0, text_alone: bool = True, **more: Any
    ) -> SlackResponse:
        """If Slack refuses the blocks, `message.instead` is sent, then only the text, unless `text_alone` is False."""
        arguments = {"text": message.text, **AS_WRITTEN, **more}
        *ways, last = self._ways(message, text_alone=text_alone)
        for blocks in ways:
            try:
                said = self._call(method, call, leave=leave, **arguments, blocks=list(blocks))
            except SlackRefused as refused:
                if refused.code not in BAD_BLOCKS:
                    raise
                self._report(method, refused)
            else:
                self._note_blocks(message, blocks)
                return said
        said = self._call(method, call, leave=leave, **arguments, **({"blocks": list(last)} if last else {}))
        self._note_blocks(message, last)
        return said

    def _ways(self, message: Message, *, text_alone: bool) -> list[tuple[JSON, ...]]:
        """The blocks to send, in the order in which they are tried. Empty: the text alone."""
        is_new = bool(message.instead) and self._missing.has(NEW_BLOCKS)
        ways = [message.blocks, message.instead] if is_new else [message.instead or message.blocks]
        return [*ways, ()] if text_alone and message.blocks else ways

    def _note_blocks(self, message: Message, sent: tuple[JSON, ...]) -> None:
        """Record that this Slack takes `instead` and not the message's blocks."""
        if sent and sent == message.instead and self._missing.has(NEW_BLOCKS):
            self._missing.note(NEW_BLOCKS, "", SlackRefused("invalid_blocks", known=False))

    def _report(self, method: str, refused: SlackRefused) -> None:
        """Log refused blocks once per `REPORTED_EVERY`: a card is updated every few seconds."""
        now = time.monotonic()
        is_due = now >= self._reported_at.get(method, -REPORTED_EVERY) + REPORTED_EVERY
        if is_due:
            self._reported_at[method] = now
        said = "%s: Slack refused the blocks, and the text is sent without them: %s"
        _LOG.log(logging.WARNING if is_due else logging.DEBUG, said, method, refused.__cause__ or refused)


def _faults(refused: SlackRefused) -> list[str]:
    response: Any = getattr(refused.__cause__, "response", None)
    errors = (response.get("errors") if response is not None else None) or [{}]
    return [f"{each.get('pointer') or '/'}: {each.get('message') or refused.code}" for each in errors]
