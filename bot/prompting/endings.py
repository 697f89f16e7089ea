"""Ends a question that was answered, refused or withdrawn: its thread's session, its record, a withdrawn answer."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from bot.language.question import Asked, QuestionKey
from bot.prompting.conversation import ANSWER_EVENT
from bot.prompting.notices import QuestionNotices
from bot.prompting.resumption import metadata
from bot.prompting.sessions import Sessions
from bot.prompting.store import Questions, Threads, thread_of
from bot.prompting.withdrawal import Why, Withdrawn
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import Message
from bot.slack.reading import reading_thread
from bot.slack.slack_steps import Steps, insisting
from bot.views.answer import has_buttons, is_finished, without_buttons


class Endings:
    """Safe to use from several threads, if each has a different question.

    Methods return steps (`bot.slack.slack_steps`), which raise SlackFailed, RedisError.
    """

    def __init__(
        self,
        slack: SlackCalls,
        *,
        questions: Questions,
        threads: Threads,
        notices: QuestionNotices,
        sessions: Sessions,
        orphans: Callable[[Asked], Steps[tuple[str, ...]]],
    ) -> None:
        """`orphans`: finds messages of an answer that are not recorded."""
        self._slack, self._questions, self._threads = slack, questions, threads
        self._notices, self._sessions, self._orphans = notices, sessions, orphans

    def end(self, asked: Asked) -> Steps[None]:
        """End the session of a question that is over, and remove the question.

        If the process dies in between, or Slack does not answer, the question stays, and is not answered again.
        """
        if asked.tries and asked.thread is not None:
            if not asked.over:
                asked = replace(asked, over=True)
                self._questions.put(asked)
            if not self.is_continued(asked):
                yield from self._sessions.end(*thread_of(asked))
        self._questions.remove(asked.question.key)

    def give_up(self, key: QuestionKey) -> Steps[None]:
        """Remove a question after Slack has refused the message about it."""
        asked = self._questions.get(key)
        if asked is not None:
            with suppress(SlackFailed):
                yield from self.end(asked)
            self._questions.remove(key)

    def withdraw(self, asked: Asked, withdrawn: Withdrawn) -> Steps[None]:
        """End the answer to a question that was stopped, or delete the answer to one that was deleted."""
        channel, key = asked.question.channel, asked.question.key
        self._questions.withdraw(key, withdrawn.why)  # Slack may refuse the stream without sending the event
        if asked.starting is not None:
            asked = replace(asked, begun=(*asked.begun, *(yield from self._orphans(asked))))
        if not withdrawn.is_closed:
            yield from self._close(asked, is_kept=withdrawn.why is Why.STOPPED)
        match withdrawn.why:
            case Why.DELETED:
                for ts in asked.begun:
                    with suppress(SlackRefused):
                        yield from insisting(partial(self._slack.delete, channel, ts))
            case Why.STOPPED if asked.begun and asked.deployment is not None:
                # Text that another process has shown is read from Slack later.
                begun = asked.begun if withdrawn.shown else ()
                self._threads.answered(replace(asked, begun=begun), asked.deployment, withdrawn.shown)
        if asked.notice is not None:
            yield from self._notices.insist_on_withdrawal(asked, "Your question waited here.")
        yield from self.end(asked)

    def without_stop(self, asked: Asked, instead: str = "") -> Steps[bool]:
        """Remove Stop from an answer that another try began and that is not continued. Raises SlackFailed.

        `instead`: why the rest does not come (mrkdwn). Returns whether nothing is left to be said: the answer shows it,
        or is finished and keeps its buttons.
        """
        if not asked.begun:
            return False
        thread = yield from reading_thread(self._slack, asked.question.channel, asked.thread or "")
        for message in thread or ():
            if message["ts"] == asked.begun[-1] and is_finished(message.get("blocks") or ()):
                return True
            if message["ts"] == asked.begun[-1] and has_buttons(message.get("blocks") or ()):
                blocks = without_buttons(message["blocks"], instead)
                about = Message(str(message.get("text") or ""), blocks)
                with suppress(SlackRefused):
                    yield from insisting(partial(self._slack.update, asked.question.channel, message["ts"], about))
                    return bool(instead)
        return False

    def _close(self, asked: Asked, *, is_kept: bool) -> Steps[None]:
        mark = metadata(ANSWER_EVENT, asked.question.key, asked.question.replaces)
        is_last = not self.is_continued(asked)
        for ts in asked.begun[-1:]:
            with suppress(SlackRefused):  # it is no stream, or Slack has ended it
                yield from insisting(
                    partial(self._slack.stop_stream, asked.question.channel, ts, metadata=mark, is_last=is_last)
                )
        if is_kept:
            yield from self.without_stop(asked)

    def is_continued(self, asked: Asked) -> bool:
        """Whether another question of the thread is being answered, which ends the session after it."""
        return any(
            other.tries and not other.over and other.notice is None and thread_of(other) == thread_of(asked)
            for other in self._questions.all()
            if other.question.key != asked.question.key
        )
