"""Writes one answer into its thread: as streams, or as messages that are updated."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Self, TypeAlias

from bot.prompting import pacing
from bot.prompting.inert import inert, settled
from bot.prompting.split import closed
from bot.prompting.streamed import AnswerRecord, Streamed
from bot.prompting.updated import Updated
from bot.prompting.way import AnswerPlace, is_streamed
from bot.prompting.withdrawal import Withdrawal, Withdrawn
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.fair_share import Ticket
from bot.slack.message import JSON
from bot.slack.slack_steps import Steps, insisting
from bot.views.answer import Below

_LOG = logging.getLogger(__name__)

SOON = timedelta(seconds=5)
"""Maximum time that the first text waits for a stream. After that it is posted as a plain message."""

Way: TypeAlias = Streamed | Updated


class OpenAnswers:
    """The answers that this process writes.

    It counts streams and updated messages, because each of the two methods has one rate limit. It orders the first
    messages in a channel: the answer to the oldest question is posted first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[type[Way]] = Counter()
        self._lines: dict[str, set[Ticket]] = {}

    def change(self, way: type[Way], by: int) -> None:
        with self._lock:
            self._counts[way] += by

    def count(self, way: type[Way]) -> int:
        return self._counts[way]

    def is_next(self, channel: str, ticket: Ticket) -> bool:
        """Return whether no older answer waits. From the first call until `leave`, newer answers wait for this one."""
        with self._lock:
            line = self._lines.setdefault(channel, set())
            line.add(ticket)
            return min(line) == ticket

    def leave(self, channel: str, ticket: Ticket) -> None:
        with self._lock:
            line = self._lines.get(channel, set())
            line.discard(ticket)
            if not line:
                self._lines.pop(channel, None)


class Reply:
    """One answer being written. A context manager; used by one thread."""

    def __init__(
        self,
        slack: SlackCalls,
        place: AnswerPlace,
        open_answers: OpenAnswers,
        record: AnswerRecord,
        *,
        ticket: Ticket = (0.0, ""),
        streams_in_channels: bool = False,
        withdrawal: Withdrawal | None = None,
        begun: tuple[str, ...] = (),
        growing: Sequence[JSON] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`begun`: ts of messages of an earlier attempt. `growing`: blocks below the text while it is written.

        `ticket`: orders the answers of a channel.
        """
        self._slack, self._open, self._clock = slack, open_answers, clock
        self._channel, self._ticket = place.channel, ticket
        self.withdrawal = withdrawal or Withdrawal()
        may_begin = partial(open_answers.is_next, place.channel, ticket)
        self._by_updates = partial(Updated, slack, place, record, clock=clock, may_begin=may_begin, growing=growing)
        self.shown = ""
        """The part of the model's text that has been shown."""
        self._sent_at: float | None = None
        self._tried_at: float | None = None
        self._thought_at: float | None = None
        self._not_before = 0.0
        self._way: Way
        is_available = slack.has("chat.startStream", place.channel)
        if is_streamed(place, in_channels=streams_in_channels, is_available=is_available, is_resumed=bool(begun)):
            self._way = Streamed(slack, place, record, clock=clock)
        else:
            with suppress(SlackFailed):
                if begun and is_available:
                    # Slack refuses to update an open stream.
                    slack.stop_stream(place.channel, begun[-1], is_last=False)
            self._way = self._by_updates(begun=begun)

    def __enter__(self) -> Self:
        self._open.change(type(self._way), 1)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(self._way, Streamed) and isinstance(error, Withdrawn):
            self._way.leave()
        self._open.change(type(self._way), -1)
        self._open.leave(self._channel, self._ticket)

    def wait(self, pending: int) -> timedelta:
        """Return how long to collect text before the next `show`, with `pending` unsent characters."""
        pace = pacing.STREAMED if isinstance(self._way, Streamed) else pacing.UPDATED
        since = None if self._sent_at is None else timedelta(seconds=self._clock() - self._sent_at)
        due = pacing.wait(pace, open_answers=self._open.count(type(self._way)), pending=pending, since=since)
        return max(due, timedelta(seconds=self._not_before - self._clock()))

    def show(self, text: str) -> None:
        """Show the settled part of `text`, the answer so far. The next call sends what Slack did not accept.

        Raises Withdrawn; SlackRefused if Slack accepts no message here.
        """
        now, shown = self._clock(), settled(text)
        if not shown.strip():
            self._sent_at = now
            return
        try:
            self._way.show(shown)
            self.shown, self._sent_at = text, now
            self._open.leave(self._channel, self._ticket)
        except SlackFailed as failed:
            self._after(failed, self._way)

    def think(self, seconds: float) -> None:
        """Show for how many seconds the model has been thinking, if it is due.

        Raises SlackRefused if Slack accepts no message here.
        """
        now, open_answers = self._clock(), self._open.count(type(self._way))
        every = max(pacing.THINKING_EVERY, pacing.interval(pacing.UPDATED, open_answers))
        is_due = self._thought_at is None or now - self._thought_at >= every.total_seconds()
        if seconds < pacing.THINKING_SHOWN_AFTER.total_seconds() or now < self._not_before or not is_due:
            return
        self._thought_at = now
        try:
            self._way.think(seconds)
            self._open.leave(self._channel, self._ticket)
        except SlackFailed as failed:
            self._after(failed, self._way)

    def stopped(self, below: Below) -> Steps[bool]:
        """Steps that show what is below an answer that a person has stopped; False if nothing of it has been posted."""
        if not self._way.has_begun:
            return False
        yield from insisting(lambda: self._end(settled(self.shown), below))
        return True

    def finish(self, text: str, *, closing: str = "", below: Below | None = None) -> Steps[None]:
        """Steps that show the whole answer, the sentence `closing`, and what is shown below.

        They raise SlackFailed, Withdrawn.
        """
        below = below or Below()
        whole = inert(text)
        if closing:
            whole = f"{closed(whole)}\n\n_{inert(closing)}_" if whole.strip() else inert(closing)
        yield from insisting(lambda: self._finish(whole, below))

    def _finish(self, whole: str, below: Below) -> None:
        self.withdrawal.check()
        if isinstance(self._way, Streamed):
            try:
                self._way.show(whole)
            except SlackFailed as failed:
                self._after(failed, self._way)
                if isinstance(self._way, Streamed):
                    raise
        self._end(whole, below)

    def _end(self, whole: str, below: Below) -> None:
        match self._way:
            case Streamed() as way:
                way.finish(below)
            case Updated() as way:
                way.finish(whole, below)

    def _after(self, failed: SlackFailed, way: Way) -> None:
        if isinstance(failed, SlackBusy):
            now = self._clock()
            self._not_before = now + failed.seconds
            self._tried_at = self._tried_at or now
            if isinstance(way, Updated) or way.sent or self._not_before < self._tried_at + SOON.total_seconds():
                return
        if isinstance(way, Updated):
            if isinstance(failed, SlackRefused):
                raise failed
            _LOG.info("An update of an answer waits: %s", failed)
            self._sent_at = self._clock()
            return
        # The stream has ended or did not start: the rest of the answer goes into plain messages.
        _LOG.info("An answer continues in plain messages: %s", failed)
        way.abandon()
        self._not_before, self._sent_at = 0.0, None
        self._open.change(Streamed, -1)
        self._open.change(Updated, 1)
        self._way = self._by_updates(before=way.sent, opening=way.reopening(), reply_was_lost=way.reply_was_lost)
