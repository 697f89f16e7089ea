"""Writes an answer as Slack streams, one message after another."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from redis.exceptions import RedisError

from bot.prompting.pacing import ROTATE_AFTER
from bot.prompting.split import closed, cut, reopened, utf8
from bot.prompting.way import AnswerPlace
from bot.prompting.withdrawal import Why, Withdrawn
from bot.slack.calls import BAD_BLOCKS, NEW_BLOCKS, SlackCalls
from bot.slack.failures import SlackAway, SlackFailed, SlackRefused
from bot.slack.message import Message
from bot.views.answer import Below
from bot.views.escape import clip, escape

LIMIT = 10_300
"""Maximum size of one stream in bytes of UTF-8. Slack refuses more than about 10,600 bytes, which include the closing
fence and the footer."""

MOST = 10_600
"""The same, with everything that is shown below the text."""
_BYTES = 4
"""Maximum number of bytes of a character."""

NOTIFIED = 3_000
"""Maximum number of characters of the text that notifications show; chat.update accepts 4,000."""

STOPPED = "stopped_by_user"
"""Slack's code after somebody pressed Stop."""


class AnswerRecord(Struct, frozen=True, kw_only=True):
    """How the messages of an answer are marked and recorded, so that another process can continue it."""

    metadata: dict[str, Any]
    starting: Callable[[], None]
    """Called before each new message."""
    began: Callable[[str], None]
    """Called with the ts of each new message."""
    removed: Callable[[str], None]
    """Called with the ts of each message that was deleted, and is posted again."""
    lost: Callable[[], Sequence[str]]
    """Looks for messages of the answer whose ts was not received. Raises SlackFailed; the next call continues."""
    is_alone: Callable[[], bool] = lambda: True
    """Whether no other answer is being written in the thread, so that the end of this one ends the thread's session."""


class Streamed:
    """Shows a growing text. Characters that Slack has accepted are not sent again."""

    def __init__(
        self, slack: SlackCalls, place: AnswerPlace, record: AnswerRecord, *, clock: Callable[[], float]
    ) -> None:
        self._slack, self._place, self._record, self._clock = slack, place, record, clock
        self._ts = ""
        self._since = 0.0
        self._body = ""
        self._opening = ""
        self._is_thinking = False
        self.sent = 0
        """Number of characters of the answer that Slack has accepted."""
        self.reply_was_lost = False
        """Whether Slack may have started a message whose ts is not known."""

    @property
    def has_begun(self) -> bool:
        return bool(self._ts)

    def show(self, text: str) -> None:
        """Send the new part of `text`, the answer so far. The next call sends the rest after a failure.

        Raises SlackFailed, and Withdrawn if a person stopped the stream.
        """
        if self._ts and self._clock() - self._since > ROTATE_AFTER.total_seconds():
            self._rotate()
        while self.sent < len(text):
            room = LIMIT - utf8(self._body)
            pending = text[self.sent :]
            at = cut(pending, max(room, 1), utf8)
            if room <= 0 or (self._ts and at < len(pending) and "\n" not in pending[:at]):
                self._rotate()
                continue
            self._send(pending[:at])
            if self.sent < len(text):
                self._rotate()

    def finish(self, below: Below) -> None:
        """End the message, with what is shown below it. Raises SlackFailed."""
        if self._ts:
            self._stop(below, is_last=self._record.is_alone())

    def think(self, seconds: float) -> None:
        """Show that the model thinks, and for how long, below the thread. The answer's message replaces that."""
        self._is_thinking = True
        self._say(f"has been thinking for {seconds:.0f} s …")

    def leave(self) -> None:
        """Remove the line about thoughts if no message has replaced it: the answer was stopped before."""
        if self._is_thinking and not self._ts:
            self._say("")

    def _say(self, words: str) -> None:
        place = self._place
        if self._slack.has("assistant.threads.setStatus", place.channel):
            with contextlib.suppress(SlackFailed, RedisError):
                self._slack.set_status(place.channel, place.thread, words)

    def abandon(self) -> None:
        """End the message; the answer continues in other messages."""
        with contextlib.suppress(SlackFailed):
            if self._ts:
                self._slack.stop_stream(self._place.channel, self._ts, is_last=False)

    def reopening(self) -> str:
        """Return what the next message has to begin with to continue a code block."""
        return self._opening or reopened(self._body)

    def _send(self, piece: str) -> None:
        place, text = self._place, self._opening + piece
        if self._ts:
            self._append(text)
        else:
            self._record.starting()
            try:
                self._ts = self._slack.start_stream(place.channel, place.thread, place.team, place.user, text)
            except SlackAway:
                self.reply_was_lost = True
                raise
            self._since = self._clock()
            self._record.began(self._ts)
        self._opening = ""
        self._body += text
        self.sent += len(piece)

    def _append(self, text: str) -> None:
        try:
            self._slack.append_stream(self._place.channel, self._ts, text)
        except SlackRefused as refused:
            if refused.code == STOPPED:
                raise Withdrawn(Why.STOPPED) from refused
            raise

    def _rotate(self) -> None:
        if not self._ts:
            return
        if end := closed(self._body)[len(self._body) :]:
            self._opening = reopened(self._body)
            self._append(end)
            self._body += end
        self._stop(Below(), is_last=False)
        self._ts, self._body = "", ""

    def _stop(self, below: Below, *, is_last: bool) -> None:
        channel, ts, metadata = self._place.channel, self._ts, self._record.metadata
        first, *others = below.shapes((MOST - utf8(self._body)) // _BYTES)
        for shape in [first, *others] if self._slack.has(NEW_BLOCKS) or not others else others:
            try:
                self._slack.stop_stream(channel, ts, below=shape, metadata=metadata, is_last=is_last)
            except SlackRefused as refused:
                if refused.code not in BAD_BLOCKS:
                    break
            else:
                if shape != first and self._slack.has(NEW_BLOCKS):
                    self._slack.note(NEW_BLOCKS, "", SlackRefused("invalid_blocks", known=False))
                return
        # Slack has ended the stream (its text is complete), or accepts no metadata or status here.
        with contextlib.suppress(SlackRefused):
            self._slack.stop_stream(channel, ts)
        if shape:
            blocks = ({"type": "markdown", "text": self._body}, *shape)
            message = Message(clip(escape(self._body), NOTIFIED), blocks)
            with contextlib.suppress(SlackRefused):
                self._slack.update(channel, ts, message, metadata=metadata, text_alone=False)
