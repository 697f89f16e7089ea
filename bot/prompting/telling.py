"""What we ourselves say around a question: its prompt, that it waits, why it is not answered."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import httpx

from bot.prompting.inert import escape, inert, mrkdwn
from bot.prompting.question import Asked
from bot.prompting.resumption import NOTICE_EVENT, QUESTION_EVENT, metadata, shown_prompt
from bot.prompting.slack import Slack
from bot.prompting.store import Threads
from bot.slack_failures import Refused, SlackFailed

_LOG = logging.getLogger(__name__)

PROMPT_SHOWN = 2_500
"""Characters of a command's prompt that its message repeats."""


class Telling:
    """Every call raises SlackFailed where the person cannot be told at all."""

    def __init__(self, slack: Slack, http: httpx.Client, threads: Threads) -> None:
        self._slack, self._http, self._threads = slack, http, threads

    def prompt(self, asked: Asked, name: str) -> str:
        """Show a command's prompt in the channel, so that its answer has a thread; gives its ts."""
        question = asked.question
        root = shown_prompt(self._slack.recent(question.channel), question.key)
        if root is None:
            text = f"<@{question.user}> asks *{escape(name)}*:\n{_quoted(asked.prompt)}"
            mark = metadata(QUESTION_EVENT, question.key)
            root = str(self._slack.insist(lambda: self._slack.post(question.channel, text, metadata=mark)))
        self._threads.prompted(question.channel, root, asked.prompt)
        return root

    def waiting(self, asked: Asked, sentence: str) -> str:
        """Say in the thread that the question waits; gives the ts."""
        return self._in_thread(asked, _words(sentence))

    def withdraw(self, asked: Asked, instead: str) -> bool:
        """Take back that it waits, or say something else there; False where Slack is to be asked again later."""
        channel, notice = asked.question.channel, asked.notice or ""
        try:
            self._slack.delete(channel, notice)
        except Refused:
            with contextlib.suppress(Refused):
                self._slack.insist(lambda: self._slack.update(channel, notice, _words(instead)))
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
        self._in_thread(asked, f"<@{asked.question.user}> {_words(sentence)}")
        if asked.notice is not None:
            self.withdraw_at_last(asked, "Your question waited here.")

    def privately(self, asked: Asked, sentence: str, blocks: Sequence[Any] = ()) -> None:
        """Tell the person alone, wherever that can be; what is meant for one is never said to all.

        `blocks` show the sentence, and more, where there is room for them.
        """
        question, text = asked.question, _words(sentence)
        if question.is_direct:
            self._in_thread(asked, text, blocks)
            return
        place = question.channel, question.user
        try:
            self._slack.insist(lambda: self._slack.whisper(*place, text, thread=question.thread_ts, blocks=blocks))
        except Refused as refused:
            if not self._responded(question.response_url, text):
                _LOG.info("%s is told in a direct message: %s", question.user, refused)
                self._slack.insist(lambda: self._slack.write_to(question.user, text))

    def _responded(self, url: str | None, text: str) -> bool:
        if url is None:
            return False
        try:
            answer = self._http.post(url, json={"response_type": "ephemeral", "text": text}, timeout=10)
        except httpx.HTTPError:
            return False
        return answer.is_success

    def _in_thread(self, asked: Asked, text: str, blocks: Sequence[Any] = ()) -> str:
        question = asked.question
        root = asked.thread or question.thread_ts or question.message_ts
        mark = metadata(NOTICE_EVENT, question.key)
        return str(
            self._slack.insist(
                lambda: self._slack.post(question.channel, text, thread=root, metadata=mark, blocks=blocks)
            )
        )


def _words(sentence: str) -> str:
    return mrkdwn(inert(sentence))


def _quoted(prompt: str) -> str:
    shown = prompt if len(prompt) <= PROMPT_SHOWN else f"{prompt[:PROMPT_SHOWN]}…"
    return "\n".join(f"> {escape(line)}" for line in shown.split("\n"))
