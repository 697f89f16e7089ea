"""A thread in Slack that accepts the calls of an answer, and fails as set by a test."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from bot.slack.failures import SlackAway, SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import Message

T = TypeVar("T")

FAILURES: dict[str, SlackFailed] = {
    "busy": SlackBusy(1),
    "away": SlackAway("Slack failed."),
    "refused": SlackRefused("message_not_in_streaming_state", known=True),
}


def shown(message: Message) -> str:
    """What a reader sees: the Markdown, and the footer in italics. A message must have blocks: updates repeat them."""
    assert message.blocks, message
    markdown = [block["text"] for block in message.blocks if block["type"] == "markdown"]
    footers = [f"_{block['elements'][0]['text']}_" for block in message.blocks if block["type"] == "context"]
    return "\n".join([*markdown, *footers])


class SlackThread:
    """Messages by ts, oldest first. Each call takes one of `failures`; None is a success."""

    def __init__(self, failures: Iterable[str | None] = ()) -> None:
        self.messages: dict[str, str] = {}
        self.streaming: set[str] = set()
        self.footers: dict[str, str] = {}
        self.calls: list[str] = []
        self.files = None
        self.stopping = threading.Event()
        self.stopped_by_user = False
        self.told: set[str] = set()
        self.failures = list(failures)
        self.is_editable = True
        """False where the workspace does not let messages be edited."""
        self.blocks_up_to = 13_000
        """Number of characters above which blocks are refused."""
        self.now = 1000.0
        self._next = 0

    def clock(self) -> float:
        return self.now

    def lost(self) -> tuple[str, ...]:
        """Messages whose ts was not returned to the caller."""
        return tuple(ts for ts in self.messages if ts not in self.told)

    def has(self, method: str, channel: str = "") -> bool:
        return True

    def note(self, method: str, channel: str, refused: SlackRefused) -> None:
        """The blocks are tried again each time."""

    def set_status(self, channel: str, thread: str, status: str) -> None:
        self.calls.append("status")

    def start_stream(self, channel: str, thread: str, team: str, user: str, markdown: str) -> str:
        is_lost = self._call("start")
        ts = self._new(markdown)
        self.streaming.add(ts)
        return self._tell(ts, is_lost)

    def append_stream(self, channel: str, ts: str, markdown: str) -> None:
        self._call("append")
        if self.stopped_by_user:
            raise SlackRefused("stopped_by_user", known=True)
        self._must_stream(ts)
        self.messages[ts] += markdown

    def stop_stream(
        self,
        channel: str,
        ts: str,
        *,
        below: Sequence[dict[str, Any]] = (),
        metadata: dict[str, Any] | None = None,
        is_last: bool = True,
    ) -> None:
        self._call("stop")
        self._must_stream(ts)
        self.streaming.discard(ts)
        self.footers[ts] = "".join(block["elements"][0]["text"] for block in below if block["type"] == "context")

    def post(
        self,
        channel: str,
        message: Message,
        *,
        thread: str | None = None,
        metadata: dict[str, Any] | None = None,
        text_alone: bool = True,
    ) -> str:
        is_lost = self._call("post")
        return self._tell(self._new(self._accepted(message, text_alone)), is_lost)

    def update(self, channel: str, ts: str, message: Message, *, leave: float = 0, **more: Any) -> None:
        self._call("update")
        if ts not in self.messages:
            raise SlackRefused("message_not_found", known=True)
        if ts in self.streaming:
            raise SlackRefused("streaming_state_conflict", known=True)
        if not self.is_editable:
            raise SlackRefused("edit_window_closed", known=True)
        self.messages[ts] = self._accepted(message, more.get("text_alone", True))

    def _accepted(self, message: Message, text_alone: bool) -> str:
        if len(shown(message)) <= self.blocks_up_to:
            return shown(message)
        if not text_alone:
            raise SlackRefused("msg_blocks_too_long", known=True)
        return message.text

    def delete(self, channel: str, ts: str) -> None:
        self.calls.append("delete")
        if self.messages.pop(ts, None) is None:
            raise SlackRefused("message_not_found", known=True)

    def _call(self, name: str) -> bool:
        self.calls.append(name)
        failure = self.failures.pop(0) if self.failures else None
        if failure == "lost":
            return name in {"start", "post"}
        if failure and (name, failure) != ("post", "refused"):  # a failure of this call has a test of its own
            raise FAILURES[failure]
        return False

    def _tell(self, ts: str, is_lost: bool) -> str:
        if is_lost:
            raise SlackAway("The reply was lost.")
        self.told.add(ts)
        return ts

    def _must_stream(self, ts: str) -> None:
        if ts not in self.streaming:
            raise SlackRefused("message_not_in_streaming_state", known=True)

    def _new(self, text: str) -> str:
        self._next += 1
        ts = f"{self._next}.0"
        self.messages[ts] = text
        return ts
