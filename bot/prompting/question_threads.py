"""Reads the thread of a question: what it asks, what was said before it, and messages that are not recorded."""

from collections.abc import Sequence

from msgspec.structs import replace

from bot.language.question import Asked, Question
from bot.language.quoted_message import files_of
from bot.prompting.attached import attached
from bot.prompting.attachments import UNREADABLE
from bot.prompting.conversation import Remembered, Turn, from_memory, prompt_at, turns
from bot.prompting.resumption import orphans
from bot.prompting.store import Questions, Threads
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed
from bot.slack.message import Identity
from bot.slack.reading import reading_thread
from bot.slack.slack_steps import Steps
from bot.views.echo import is_cut


class QuestionThreads:
    """Safe to use from several threads. Methods return steps, which raise SlackFailed, RedisError."""

    def __init__(self, slack: SlackCalls, questions: Questions, threads: Threads) -> None:
        self._slack, self._questions, self._threads = slack, questions, threads

    def text(self, question: Question, remembered: Remembered, names: Sequence[str]) -> Steps[str]:
        """Return the text of a question that a button asks again, which its message asks or shows.

        Empty if the message is gone or shows only a part, or if the question is about another message, which is kept
        for an hour.
        """
        if question.about is not None:
            return remembered.prompts.get(question.message_ts or "", "")
        thread = yield from reading_thread(self._slack, question.channel, question.thread_ts or "")
        text = prompt_at(question.message_ts or "", thread or (), remembered, self._ourselves(), names)
        return "" if is_cut(text) else text

    def said(self, asked: Asked, deployment: str) -> Steps[list[Turn]]:
        """Return the messages of the thread up to the question, which is the last one. `deployment`: the name."""
        question, root = asked.question, asked.thread or ""
        remembered = self._threads.recall(question.channel, root)
        asks = Turn(role="user", content=asked.prompt)
        bearer = _bearer(question)
        if question.thread_ts is None and bearer is None:
            return [asks]
        thread = yield from reading_thread(self._slack, question.channel, root)
        said = turns(
            thread if thread is not None else from_memory(remembered),
            before=None if question.about else question.message_ts,  # no more than when it was asked first
            remembered=remembered,
            ourselves=self._ourselves(),
            names=[deployment],
        )
        if bearer is None:
            return [*said, asks]
        own = next((message for message in thread or () if message["ts"] == bearer), None)
        if own is not None and question.about:  # whose text includes the forwarded messages
            own = {"files": list(files_of(own))}
        return [*said, replace(asks, attached=UNREADABLE if own is None else attached(own))]

    def orphans(self, asked: Asked) -> Steps[tuple[str, ...]]:
        """Return the messages of an answer that are not recorded, by their ts."""
        question, root = asked.question, asked.thread or ""
        # Read in this order: each message of the thread is then in `others` or in `remembered`, if it is recorded.
        thread = (yield from reading_thread(self._slack, question.channel, root)) or []
        others = self._questions.all()
        remembered = self._threads.recall(question.channel, root)
        return orphans(thread, asked, others, self._ourselves(), remembered)

    def _ourselves(self) -> Identity:
        try:
            return self._slack.identity()
        except SlackFailed:
            return Identity()


def _bearer(question: Question) -> str | None:
    """Return the ts of the message whose attachments belong to the question; None if there are none."""
    if question.about is not None and question.about.files and not question.about.channel:
        return question.about.ts
    return question.message_ts if question.attached else None
