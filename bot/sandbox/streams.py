"""Streamed messages: their parts, their mode, and their end after five minutes."""

import time
from copy import deepcopy
from typing import Any

from bot.sandbox import limits
from bot.sandbox.block_kit import check_message_blocks
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.workspace import Message, Workspace

_STATES = frozenset({"pending", "in_progress", "complete", "error"})


class Stream:
    """The parts of one open stream, in order of arrival; `expires_at` is in monotonic seconds."""

    def __init__(self, message: Message, *, plan_first: bool, expires_at: float) -> None:
        self.message = message
        self.expires_at = expires_at
        self._plan_first = plan_first
        self._mode: str | None = None
        self._parts: list[JSON] = []
        self._tasks: dict[str, JSON] = {}
        self._plan_title = ""
        self._bytes = 0

    def append(self, markdown_text: str, chunks: list[JSON]) -> None:
        """Add text or chunks, but not both; a stream accepts only the one that it began with.

        Raises SlackError: `cannot_provide_both_markdown_text_and_chunks`, `streaming_mode_mismatch`, `msg_too_long`,
        `invalid_chunks`, `invalid_blocks`.
        """
        if markdown_text and chunks:
            raise SlackError("cannot_provide_both_markdown_text_and_chunks")
        if not markdown_text and not chunks:
            return
        mode = "text" if markdown_text else "chunks"
        if self._mode not in (None, mode):
            raise SlackError("streaming_mode_mismatch")
        added = chunks or [{"type": "markdown_text", "text": markdown_text}]
        checked = [_checked(chunk) for chunk in added]
        texts = [chunk.get("text", "") for chunk in checked]
        size = sum(len(text.encode()) for text in texts)
        if sum(map(len, texts)) > limits.MARKDOWN or self._bytes + size > limits.STREAM_BYTES:
            raise SlackError("msg_too_long")
        self._mode = mode
        self._bytes += size
        for chunk in checked:
            self._take(chunk)
        self._write()

    def _take(self, chunk: JSON) -> None:
        match chunk["type"]:
            case "markdown_text":
                if self._parts and self._parts[-1]["type"] == "markdown":
                    self._parts[-1]["text"] += chunk["text"]
                else:
                    self._parts.append({"type": "markdown", "text": chunk["text"]})
            case "plan_update":
                self._plan_title = chunk["title"]
            case "task_update":
                self._take_task(chunk)
            case _:
                self._parts.extend(chunk["blocks"])

    def _take_task(self, chunk: JSON) -> None:
        card = self._tasks.get(chunk["id"])
        if card is None:
            card = self._tasks[chunk["id"]] = {"type": "task_card", "task_id": chunk["id"]}
            if not self._plan_first:
                self._parts.append(card)
        card["title"], card["status"] = chunk["title"], chunk["status"]
        for name in ("details", "output"):
            if chunk.get(name):
                # Slack appends an update's text to the existing text.
                card[name] = _rich(_plain(card.get(name)) + str(chunk[name]))
        if chunk.get("sources"):
            card["sources"] = chunk["sources"]

    def _write(self) -> None:
        blocks = list(self._parts)
        if self._plan_first and (self._tasks or self._plan_title):
            plan = {"type": "plan", "title": self._plan_title or "Plan", "tasks": list(self._tasks.values())}
            blocks.insert(0, plan)
        self.message.blocks = [{"block_id": f"stream{n}", **block} for n, block in enumerate(blocks)]
        self.message.text = "\n".join(part["text"] for part in self._parts if part["type"] == "markdown")


class Streams:
    """The open streams, by channel and timestamp; `life` is in seconds."""

    def __init__(self, workspace: Workspace, life: float) -> None:
        self._workspace = workspace
        self._life = life
        self._open: dict[tuple[str, str], Stream] = {}
        self._stopped: set[tuple[str, str]] = set()

    def start(self, message: Message, *, plan_first: bool) -> Stream:
        """A stream for a message that is not posted yet; call `open` when its first part is accepted."""
        return Stream(message, plan_first=plan_first, expires_at=time.monotonic() + self._life)

    def open(self, stream: Stream, *, recipient: str = "") -> None:
        """Begin; if there is a `recipient`, others see only the first part until the stream ends."""
        message = stream.message
        message.streaming = True
        if recipient:
            message.recipient = recipient
            message.first_part = {"text": message.text, "blocks": deepcopy(message.blocks)}
        self._open[stream.message.channel, stream.message.ts] = stream

    def find(self, channel: str, ts: str) -> Stream:
        """The open stream with this timestamp. Raises SlackError: `message_not_in_streaming_state` if it has ended."""
        self.end_old()
        stream = self._open.get((channel, ts))
        if stream is None:
            raise SlackError("message_not_in_streaming_state")
        return stream

    def seen_by_another(self) -> None:
        """Publish the open streams in the form in which another person sees them at the page."""
        for stream in self._open.values():
            self._workspace.changed(stream.message)

    def end(self, stream: Stream) -> None:
        self._open.pop((stream.message.channel, stream.message.ts), None)
        stream.message.streaming = False
        stream.message.first_part = None
        self._workspace.changed(stream.message)

    def check_not_stopped(self, channel: str, ts: str) -> None:
        """Raises SlackError: `stopped_by_user` if a person pressed Stop while the stream was open."""
        if (channel, ts) in self._stopped:
            raise SlackError("stopped_by_user")

    def stop(self, channel: str, thread_ts: str) -> list[str]:
        """End the streams of a thread because a person pressed Stop. Returns their timestamps."""
        streams = [s for s in self._open.values() if s.message.channel == channel and s.message.root_ts == thread_ts]
        for stream in streams:
            self._stopped.add((channel, stream.message.ts))
            self.end(stream)
        return [stream.message.ts for stream in streams]

    def end_old(self) -> None:
        """End the streams that are older than `life`, even if they are in use."""
        now = time.monotonic()
        for stream in [s for s in self._open.values() if s.expires_at <= now]:
            self.end(stream)


def _checked(chunk: Any) -> JSON:
    """The chunk as it is stored. Raises SlackError if Slack would not accept it."""
    match chunk:
        case {"type": "markdown_text", "text": str()} | {"type": "plan_update", "title": str()}:
            return dict(chunk)
        case {"type": "task_update", "id": str(), "title": str(), "status": str(status)} if status in _STATES:
            return dict(chunk)
        case {"type": "blocks", "blocks": list(blocks)}:
            return {"type": "blocks", "blocks": check_message_blocks(blocks)}
        case _:
            raise SlackError("invalid_chunks")


def _rich(text: str) -> JSON:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [section]}


def _plain(rich: JSON | None) -> str:
    return "" if rich is None else str(rich["elements"][0]["elements"][0]["text"])
