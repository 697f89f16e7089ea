"""The calls of Slack's Web API that an answer needs, each within its budget."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from slack_sdk import WebClient
from slack_sdk.web.slack_response import SlackResponse

from bot.prompting.conversation import Ourselves
from bot.rate import Rates
from bot.slack_calls import AS_WRITTEN
from bot.slack_failures import Away, Busy, Refused, SlackFailed, within

_LOG = logging.getLogger(__name__)

_PATIENCE = timedelta(minutes=2)
"""How long a call that must not be lost is repeated while Slack is away."""
_PATIENCE_IN_A_QUEUE = timedelta(minutes=10)
"""And while Slack, or our own budget, only says: later."""

FOR_CARDS = 4
"""So many updates at once are left for the cards of deployments: they matter to more people."""

REPLIES_A_PAGE = 200
PAGES_MOST = 10


class Slack:
    """The calls, in our own words. One for a process; safe to use from several threads."""

    def __init__(self, client: WebClient, rates: Rates, stopping: threading.Event) -> None:
        self._client = client
        self._rates = rates
        self._stopping = stopping
        self._missing: set[str] = set()
        self._ourselves: Ourselves | None = None

    def ourselves(self) -> Ourselves:
        """The ids under which our messages stand; empty where Slack does not tell."""
        if self._ourselves is None:
            try:
                told = self._call("auth.test", self._client.auth_test)
            except SlackFailed:
                return Ourselves(user="", bot="")
            self._ourselves = Ourselves(user=told.get("user_id") or "", bot=told.get("bot_id") or "")
        return self._ourselves

    def has(self, method: str) -> bool:
        """Whether a method has not been found missing in this workspace."""
        return method not in self._missing

    def post(
        self,
        channel: str,
        text: str,
        *,
        thread: str | None = None,
        metadata: dict[str, Any] | None = None,
        blocks: Sequence[Any] = (),
    ) -> str:
        """Post a message and give its ts. Raises SlackFailed."""
        posted = self._call(
            "chat.postMessage",
            self._client.chat_postMessage,
            channel=channel,
            text=text,
            blocks=list(blocks) or None,
            thread_ts=thread,
            metadata=metadata,
            unfurl_links=False,
            unfurl_media=False,
            **AS_WRITTEN,
        )
        return str(posted["ts"])

    def update(self, channel: str, ts: str, text: str) -> None:
        """Say something else in a message of ours. Raises SlackFailed."""
        self._call("chat.update", self._client.chat_update, channel=channel, ts=ts, text=text, **AS_WRITTEN)

    def delete(self, channel: str, ts: str) -> None:
        """Take a message of ours away. Raises SlackFailed."""
        self._call("chat.delete", self._client.chat_delete, channel=channel, ts=ts)

    def whisper(
        self, channel: str, user: str, text: str, *, thread: str | None = None, blocks: Sequence[Any] = ()
    ) -> None:
        """Say something that only one person sees. Raises SlackFailed."""
        self._call(
            "chat.postEphemeral",
            self._client.chat_postEphemeral,
            channel=channel,
            user=user,
            text=text,
            blocks=list(blocks) or None,
            thread_ts=thread,
            **AS_WRITTEN,
        )

    def write_to(self, user: str, text: str) -> None:
        """Send a direct message. Raises SlackFailed."""
        opened = self._call("conversations.open", self._client.conversations_open, users=user)
        self.post(str((opened.get("channel") or {}).get("id") or ""), text)

    def thinking(self, channel: str, thread: str) -> None:
        """Show that an answer is being thought of, where Slack can show it."""
        method = "assistant.threads.setStatus"
        if not self.has(method):
            return
        try:
            self._call(
                method,
                self._client.assistant_threads_setStatus,
                channel_id=channel,
                thread_ts=thread,
                status="is thinking…",
            )
        except SlackFailed as failed:
            self._note(method, failed)

    def thread(self, channel: str, root: str) -> list[dict[str, Any]] | None:
        """The messages of a thread, its root first; None where Slack does not tell. Raises SlackFailed."""
        found: list[dict[str, Any]] = []
        cursor = None
        for _ in range(PAGES_MOST):
            page = self._read(
                "conversations.replies",
                self._client.conversations_replies,
                channel=channel,
                ts=root,
                limit=REPLIES_A_PAGE,
                cursor=cursor,
                include_all_metadata=True,
            )
            if page is None:
                return found or None
            found.extend(page.get("messages") or [])
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
        return found

    def recent(self, channel: str) -> list[dict[str, Any]]:
        """The newest messages of a channel, as far as Slack tells. Raises SlackFailed."""
        page = self._read(
            "conversations.history",
            self._client.conversations_history,
            channel=channel,
            limit=50,
            include_all_metadata=True,
        )
        return list(page.get("messages") or []) if page is not None else []

    def start_stream(self, channel: str, thread: str, team: str, user: str, markdown: str) -> str:
        """Begin a message that is written while it is read, and give its ts. Raises SlackFailed."""
        try:
            started = self._call(
                "chat.startStream",
                self._client.chat_startStream,
                channel=channel,
                thread_ts=thread,
                recipient_team_id=team or None,
                recipient_user_id=user or None,
                markdown_text=markdown,
            )
            if not started.get("ts"):
                raise Refused("no ts", known=False)  # noqa: TRY301 - treated as the refusals that Slack words itself
        except Refused as refused:
            self._note("chat.startStream", refused)
            raise
        return str(started["ts"])

    def append_stream(self, channel: str, ts: str, markdown: str) -> None:
        """Add to it. Raises SlackFailed."""
        self._call("chat.appendStream", self._client.chat_appendStream, channel=channel, ts=ts, markdown_text=markdown)

    def stop_stream(self, channel: str, ts: str, *, footer: str = "", metadata: dict[str, Any] | None = None) -> None:
        """End it, with a line below. Raises SlackFailed."""
        blocks = [{"type": "context", "elements": [{"type": "mrkdwn", "text": footer}]}] if footer else None
        self._call(
            "chat.stopStream", self._client.chat_stopStream, channel=channel, ts=ts, blocks=blocks, metadata=metadata
        )

    def insist(self, call: Callable[[], Any]) -> Any:
        """Do a call until Slack has taken it or refused it. Raises Refused, or the last failure once patience ends."""
        began = time.monotonic()
        pause = 1.0
        while True:
            try:
                return call()
            except (Busy, Away) as failed:
                is_busy = isinstance(failed, Busy)
                wait = failed.seconds if isinstance(failed, Busy) else pause
                pause = pause if is_busy else min(pause * 2, 20)
                patience = _PATIENCE_IN_A_QUEUE if is_busy else _PATIENCE
                if time.monotonic() + wait > began + patience.total_seconds() or self._stopping.wait(wait):
                    raise

    def _read(self, method: str, call: Callable[..., SlackResponse], **arguments: Any) -> SlackResponse | None:
        if not self.has(method):
            return None
        try:
            response: SlackResponse = self.insist(lambda: self._call(method, call, **arguments))
        except Refused as refused:
            self._note(method, refused)
            return None
        return response

    def _note(self, method: str, failed: SlackFailed) -> None:
        _LOG.info("%s: %s", method, failed)
        if isinstance(failed, Refused) and not failed.known:
            self._missing.add(method)

    def _call(self, method: str, call: Callable[..., SlackResponse], **arguments: Any) -> SlackResponse:
        left = FOR_CARDS if method == "chat.update" else 0
        return within(self._rates, method, call, arguments, leave=left)
