"""Writes an answer without streams: plain messages that are updated as it grows."""

import contextlib
from collections.abc import Callable, Sequence

from bot.prompting.inert import mrkdwn
from bot.prompting.pacing import FOR_CARDS
from bot.prompting.split import split
from bot.prompting.streamed import AnswerPlace, AnswerRecord
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackAway, SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import Message
from bot.slack.reading import SETTLES

LIMIT = 3_500
"""Maximum number of characters of one message; chat.update accepts 4,000."""


class Updated:
    """Shows a growing text in one or more messages."""

    def __init__(
        self,
        slack: SlackCalls,
        place: AnswerPlace,
        record: AnswerRecord,
        *,
        clock: Callable[[], float],
        reply_was_lost: bool = False,
        before: int = 0,
        opening: str = "",
        begun: Sequence[str] = (),
    ) -> None:
        """`before`: number of characters shown by a stream; `begun`: ts of messages to overwrite, in order.

        `reply_was_lost`: whether a message may exist whose ts is not known.
        """
        self._slack, self._place, self._record, self._clock = slack, place, record, clock
        self._lost_at = clock() if reply_was_lost else None
        self._before, self._opening = before, opening
        self._messages: list[str] = list(begun)  # "" for one that is not posted yet
        self._shown: list[str | None] = [None] * len(begun)

    def show(self, text: str) -> None:
        """Update or post the messages that differ from `text`, the answer so far. Raises SlackFailed."""
        self._bring([mrkdwn(part) for part in self._parts(text)])

    def finish(self, text: str, footer: str) -> None:
        """Show the whole answer with the line `footer`, and delete surplus messages. Raises SlackFailed."""
        *parts, last = self._parts(text)
        below = f"_{mrkdwn(footer)}_" if footer else ""
        whole = "\n".join(part for part in (mrkdwn(last).rstrip(), below) if part)
        self._bring([*(mrkdwn(part) for part in parts), whole])
        for ts in filter(None, self._messages[len(parts) + 1 :]):
            self._take_away(ts)
        del self._messages[len(parts) + 1 :]

    def _parts(self, text: str) -> list[str]:
        return split(self._opening + text[self._before :], LIMIT)

    def _bring(self, texts: Sequence[str]) -> None:
        for at, text in enumerate(texts):
            if at == len(self._messages):
                self._messages.append("")
                self._shown.append(None)
            if not text.strip() or self._shown[at] == text:
                continue
            if self._messages[at] or self._adopt(at):
                self._update(at, text)
            else:
                self._post(at, text)

    def _post(self, at: int, text: str) -> None:
        self._record.starting()
        message, place = Message(text=text), self._place
        try:
            ts = self._slack.post(place.channel, message, thread=place.thread, metadata=self._record.metadata)
        except SlackAway:
            self._lost_at = self._clock()
            raise
        self._record.began(ts)
        self._messages[at], self._shown[at] = ts, text

    def _adopt(self, at: int) -> bool:
        """Use a message whose reply was lost, if there is one. Raises SlackBusy until it would be visible."""
        if self._lost_at is None:
            return False
        if (rest := self._lost_at + SETTLES.total_seconds() - self._clock()) > 0:
            raise SlackBusy(rest)
        found = self._record.lost()
        self._lost_at = None
        for ts in found[:1]:
            self._record.began(ts)
            self._messages[at] = ts
            with contextlib.suppress(SlackFailed):
                self._slack.stop_stream(self._place.channel, ts)  # Slack refuses to update an open stream
        return bool(found)

    def _update(self, at: int, text: str) -> None:
        try:
            self._slack.update(self._place.channel, self._messages[at], Message(text=text), leave=FOR_CARDS)
        except SlackRefused:
            # The message was deleted, or can no longer be edited: a new one replaces it.
            with contextlib.suppress(SlackRefused):
                self._slack.insist(lambda: self._slack.delete(self._place.channel, self._messages[at]))
            self._messages[at] = ""
            self._post(at, text)
        self._shown[at] = text

    def _take_away(self, ts: str) -> None:
        try:
            self._slack.insist(lambda: self._slack.delete(self._place.channel, ts))
        except (SlackRefused, SlackBusy):
            self._slack.update(self._place.channel, ts, Message(text="…"), leave=FOR_CARDS)
