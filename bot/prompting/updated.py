"""Writes an answer without streams: messages of Markdown that are updated as it grows."""

import contextlib
from collections.abc import Callable, Sequence

from bot.prompting.pacing import FOR_CARDS
from bot.prompting.split import split
from bot.prompting.streamed import NOTIFIED, AnswerRecord
from bot.prompting.way import AnswerPlace
from bot.slack.budgets import budget_of
from bot.slack.calls import BAD_BLOCKS, SlackCalls
from bot.slack.failures import SlackAway, SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.slack.reading import SETTLES
from bot.views.answer import Below, thinking
from bot.views.card_refusals import NOT_EDITABLE
from bot.views.escape import clip, escape

MOST = 12_500
"""Maximum number of characters of one message, with everything that is shown below the text."""

LIMIT = 11_900
"""Maximum number of characters of one message. Slack accepts 12,000 in a Markdown block, which include the closing
fence, and about 13,200 in all blocks of a message."""

SMALL = 2_900
"""The same, after `escape`, once Slack has refused the blocks of a message. If it refuses smaller ones too, the text is
sent alone, which is complete up to this size."""

NEXT_IN_LINE = 0.2
"""Interval in seconds at which an answer checks whether it is its turn to be posted."""


class Updated:
    """Shows a growing text in one or more messages."""

    def __init__(
        self,
        slack: SlackCalls,
        place: AnswerPlace,
        record: AnswerRecord,
        *,
        clock: Callable[[], float],
        may_begin: Callable[[], bool] = lambda: True,
        reply_was_lost: bool = False,
        before: int = 0,
        opening: str = "",
        begun: Sequence[str] = (),
        growing: Sequence[JSON] = (),
    ) -> None:
        """`before`: number of characters shown by a stream; `begun`: ts of messages to overwrite, in order.

        `growing`: the blocks below the text while it is written. `may_begin`: whether it is this answer's turn to post
        its first message. `reply_was_lost`: whether a message may have been posted whose ts is not known.
        """
        self._slack, self._place, self._record, self._clock = slack, place, record, clock
        self._may_begin = may_begin
        self._lost_at = clock() if reply_was_lost else None
        self._before, self._opening = before, opening
        self._growing = growing
        self._limit = LIMIT
        self._is_fixed = False
        """Whether Slack lets no posted message be edited. The answer is shown again when it is complete."""
        self._messages: list[str] = list(begun)  # "" for one that is not posted yet
        self._shown: list[Message | None] = [None] * len(begun)

    @property
    def has_begun(self) -> bool:
        return any(self._messages)

    def show(self, text: str) -> None:
        """Update or post the messages that differ from `text`, the answer so far. Raises SlackFailed."""
        if not self._is_fixed:
            *parts, last = self._parts(text)
            self._bring([*(_message(part) for part in parts), _message(last, self._growing)])

    def think(self, seconds: float) -> None:
        """Show that the model thinks, and for how long, where the text of the answer will be. Raises SlackFailed."""
        if not self._is_fixed:
            self._bring([_message("", (thinking(seconds), *self._growing))])

    def finish(self, text: str, below: Below) -> None:
        """Show the whole answer with what is shown below it, and delete surplus messages. Raises SlackFailed."""
        if self._is_fixed:
            self._start_over()
        *parts, last = self._parts(text)
        self._bring([*(_message(part) for part in parts), _message(last.rstrip(), *below.shapes(MOST - len(last))[:2])])
        while len(self._messages) > len(parts) + 1:
            if ts := self._messages[-1]:
                self._take_away(ts)
            del self._messages[-1], self._shown[-1]

    def _parts(self, text: str) -> list[str]:
        return split(self._opening + text[self._before :], self._limit, len if self._limit == LIMIT else _escaped)

    def _bring(self, messages: Sequence[Message]) -> None:
        for at, message in enumerate(messages):
            if at == len(self._messages):
                self._messages.append("")
                self._shown.append(None)
            if not message.blocks or self._shown[at] == message:
                continue
            if self._messages[at] or self._adopt(at):
                self._update(at, message)
            else:
                self._post(at, message)

    def _post(self, at: int, message: Message) -> None:
        if not self.has_begun and not self._may_begin():
            raise SlackBusy(
                NEXT_IN_LINE, budget=budget_of("chat.postMessage", self._place.channel), channel=self._place.channel
            )
        self._record.starting()
        place, metadata, text_alone = self._place, self._record.metadata, self._limit == SMALL
        try:
            ts = self._slack.post(place.channel, message, thread=place.thread, metadata=metadata, text_alone=text_alone)
        except SlackAway:
            self._lost_at = self._clock()
            raise
        except SlackRefused as refused:
            self._divide(refused)
            raise
        self._record.began(ts)
        self._messages[at], self._shown[at] = ts, message

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
                # Slack refuses to update an open stream.
                self._slack.stop_stream(self._place.channel, ts, is_last=False)
        return bool(found)

    def _update(self, at: int, message: Message) -> None:
        text_alone = self._limit == SMALL
        try:
            self._slack.update(self._place.channel, self._messages[at], message, leave=FOR_CARDS, text_alone=text_alone)
        except SlackRefused as refused:
            self._divide(refused)
            if refused.code in NOT_EDITABLE:
                self._is_fixed = True
                raise SlackBusy(0) from refused
            # The message was deleted: a new one replaces it.
            self._remove(at)
            self._post(at, message)
        self._shown[at] = message

    def _start_over(self) -> None:
        """Remove the messages, so that all of them are posted again, in their order."""
        for at in range(len(self._messages)):
            self._remove(at)
        self._is_fixed = False

    def _remove(self, at: int) -> None:
        if ts := self._messages[at]:
            with contextlib.suppress(SlackRefused):
                self._slack.delete(self._place.channel, ts)
            self._record.removed(ts)
        self._messages[at], self._shown[at] = "", None

    def _divide(self, refused: SlackRefused) -> None:
        """Use smaller messages from now on, if that is a refusal of blocks. Raises SlackBusy, to be called again.

        Slack translates Markdown into other blocks, whose number and size are limited too.
        """
        if refused.code in BAD_BLOCKS and self._limit == LIMIT:
            self._limit = SMALL
            raise SlackBusy(0) from refused

    def _take_away(self, ts: str) -> None:
        try:
            self._slack.delete(self._place.channel, ts)
        except SlackRefused:
            self._slack.update(self._place.channel, ts, _message("…"), leave=FOR_CARDS)


def _escaped(markdown: str) -> int:
    return len(escape(markdown))


def _message(markdown: str, below: Sequence[JSON] = (), instead: Sequence[JSON] = ()) -> Message:
    """Return a message with blocks, which each update repeats: an update without blocks removes them.

    `instead`: what is shown below the text where Slack refuses `below`.
    """
    said: tuple[JSON, ...] = ({"type": "markdown", "text": markdown},) if markdown.strip() else ()
    lines = [block["elements"][0]["text"] for block in below if block["type"] == "context"]
    text = clip(escape(markdown) if markdown.strip() else "\n".join(lines), NOTIFIED)
    return Message(text, (*said, *below), (*said, *instead) if instead else ())
