"""What we ourselves say around a question: its prompt, that it waits, why it is not answered."""

import contextlib
import logging
import secrets

from bot.language.question import Asked
from bot.prompting.inert import escape, inert, mrkdwn
from bot.prompting.pacing import FOR_CARDS
from bot.prompting.resumption import NOTICE_EVENT, QUESTION_EVENT, metadata, shown_prompt
from bot.prompting.store import Threads
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackAway, SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.slack.reading import find, recent
from bot.slack.responses import respond

_LOG = logging.getLogger(__name__)

PROMPT_SHOWN = 2_500
"""Characters of a command's prompt that its message repeats."""


class QuestionNotices:
    """Every call raises SlackFailed where the person cannot be told at all."""

    def __init__(self, slack: SlackCalls, threads: Threads) -> None:
        self._slack, self._threads = slack, threads

    def prompt(self, asked: Asked, name: str) -> str:
        """Show a command's prompt in the channel, so that its answer has a thread; gives its ts."""
        question = asked.question
        root = shown_prompt(recent(self._slack, question.channel), question.key)
        if root is None:
            text = f"<@{question.user}> asks *{escape(name)}*:\n{_quoted(asked.prompt)}"
            root = self._post_once(question.channel, Message(text=text), metadata(QUESTION_EVENT, question.key))
        self._threads.prompted(question.channel, root, asked.prompt)
        return root

    def waiting(self, asked: Asked, sentence: str) -> str:
        """Say in the thread that the question waits; gives the ts."""
        return self._in_thread(asked, Message(text=_words(sentence)))

    def withdraw(self, asked: Asked, instead: str) -> bool:
        """Take back that it waits, or say something else there; False where Slack is to be asked again later."""
        channel, notice, said = asked.question.channel, asked.notice or "", Message(text=_words(instead))
        try:
            self._slack.delete(channel, notice)
        except SlackRefused:
            with contextlib.suppress(SlackRefused):
                self._slack.insist(lambda: self._slack.update(channel, notice, said, leave=FOR_CARDS))
        except SlackFailed:
            return False
        return True

    def withdraw_at_last(self, asked: Asked, instead: str) -> None:
        """Likewise, with all patience."""
        with contextlib.suppress(SlackFailed):
            self._slack.insist(lambda: self._slack.delete(asked.question.channel, asked.notice or ""))
            return
        self.withdraw(asked, instead)

    def over(self, asked: Asked, sentence: str) -> None:
        """Tell whoever waits that there will be no answer, so that they notice."""
        self._in_thread(asked, Message(text=f"<@{asked.question.user}> {_words(sentence)}"))
        if asked.notice is not None:
            self.withdraw_at_last(asked, "Your question waited here.")

    def privately(self, asked: Asked, sentence: str, blocks: tuple[JSON, ...] = ()) -> None:
        """Tell the person alone, wherever that can be; what is meant for one is never said to all.

        `blocks` show the sentence, and more, where there is room for them.
        """
        question, plain = asked.question, Message(text=_words(sentence))
        message = Message(text=plain.text, blocks=blocks)
        if question.is_direct:
            self._in_thread(asked, message)
            return
        place = question.channel, question.user
        try:
            # After a lost reply it is shown again: it cannot be looked for, and twice is better than not at all.
            self._slack.insist(lambda: self._slack.whisper(*place, message, thread=question.thread_ts))
        except SlackRefused as refused:
            if not respond(question.response_url, plain):
                _LOG.info("%s is told in a direct message: %s", question.user, refused)
                channel = self._slack.insist(lambda: self._slack.open_direct(question.user))
                self._post_once(channel, plain, metadata(NOTICE_EVENT, question.key))

    def _in_thread(self, asked: Asked, message: Message) -> str:
        question = asked.question
        root = asked.thread or question.thread_ts or question.message_ts
        return self._post_once(question.channel, message, metadata(NOTICE_EVENT, question.key), root)

    def _post_once(self, channel: str, message: Message, mark: JSON, thread: str | None = None) -> str:
        """Insist on a post, and return its ts. After a lost reply the message is looked for before it is posted again.

        The metadata gets a number of its own, since a question may have several notices.
        """
        mark = {**mark, "event_payload": {**mark["event_payload"], "post": secrets.token_hex(4)}}
        reply_was_lost = False

        def attempt() -> str:
            nonlocal reply_was_lost
            if reply_was_lost and (ts := self._posted(channel, mark, thread)):
                return ts
            try:
                return self._slack.post(channel, message, thread=thread, metadata=mark)
            except SlackAway:
                reply_was_lost = True
                raise

        return self._slack.insist(attempt)

    def _posted(self, channel: str, mark: JSON, thread: str | None) -> str | None:
        try:
            return find(self._slack, channel, mark, thread=thread)
        except SlackRefused as refused:
            _LOG.info("looking for a message whose reply was lost: %s", refused)
            return None


def _words(sentence: str) -> str:
    return mrkdwn(inert(sentence))


def _quoted(prompt: str) -> str:
    shown = prompt if len(prompt) <= PROMPT_SHOWN else f"{prompt[:PROMPT_SHOWN]}…"
    return "\n".join(f"> {escape(line)}" for line in shown.split("\n"))
