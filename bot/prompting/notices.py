"""The bot's own messages about a question: its prompt, the notice that it waits, the reason why it has no answer."""

import contextlib
import logging
import secrets
import time

from bot.language.question import Asked, Saying
from bot.language.quoted_message import QuotedMessage
from bot.prompting.conversation import QUESTION_EVENT
from bot.prompting.inert import inert, mrkdwn
from bot.prompting.pacing import FOR_CARDS
from bot.prompting.resumption import NOTICE_EVENT, metadata, shown_prompt
from bot.prompting.store import Threads
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackAway, SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from bot.slack.reading import SETTLES, find, reading_recent, reading_thread
from bot.slack.responses import respond
from bot.slack.slack_steps import Steps, insisting
from bot.views.ask_form import author
from bot.views.echo import PERSON, echo
from bot.views.escape import clip
from bot.views.escape import inert as view_inert

_LOG = logging.getLogger(__name__)

NAMES_READ = 5
"""Maximum number of people in a command's prompt whose names are read."""
QUOTED_SHOWN = 200
"""Maximum number of characters of a message of another channel that a question about it quotes."""


class QuestionNotices:
    """Methods return steps. They raise SlackFailed if the message cannot be delivered in any way."""

    def __init__(self, slack: SlackCalls, threads: Threads) -> None:
        self._slack, self._threads = slack, threads

    def prompt(self, asked: Asked, name: str) -> Steps[str]:
        """Post a prompt that no message shows, in its thread or in the channel; return the ts."""
        question, root = asked.question, asked.question.thread_ts
        reading = self._slack, question.channel
        around = (yield from reading_recent(*reading)) if root is None else (yield from reading_thread(*reading, root))
        shown = shown_prompt(around or [], question.key)
        if shown is None:
            prompt = question.text if question.about else asked.prompt
            message = echo(question.user, name, prompt, self._names(prompt), _about(question.about))
            shown = yield from self._post_once(question.channel, message, metadata(QUESTION_EVENT, question.key), root)
        self._threads.prompted(question.channel, root or shown, asked.prompt, shown=shown)
        return shown

    def _names(self, prompt: str) -> dict[str, str]:
        """Return the names of the people whom a prompt mentions, as far as Slack returns them."""
        names: dict[str, str] = {}
        for user in list(dict.fromkeys(PERSON.findall(prompt)))[:NAMES_READ]:
            with contextlib.suppress(SlackFailed):
                person = self._slack.person(user)
                names[user] = str(person.get("real_name") or person.get("name") or "somebody")
        return names

    def waiting(self, asked: Asked, sentence: str) -> Steps[str]:
        """Post the notice that the question waits into its thread; return the ts."""
        return (yield from self._in_thread(asked, Message(text=_words(sentence)), Saying.WAITING))

    def lost(self, asked: Asked) -> Steps[str | None]:
        """Look for the message that a process was about to post when it or Redis failed; return its ts, or None."""
        mark, visible_at = _mark(asked, asked.saying), time.monotonic() + SETTLES.total_seconds()

        def look() -> str | None:
            if (rest := visible_at - time.monotonic()) > 0:
                raise SlackBusy(rest)
            return self._posted(asked.question.channel, mark, _root(asked))

        return (yield from insisting(look))

    def withdraw(self, asked: Asked, instead: str) -> Steps[bool]:
        """Delete the notice that the question waits, or replace its text; False if this must be repeated later."""
        channel, notice, said = asked.question.channel, asked.notice or "", Message(text=_words(instead))
        try:
            self._slack.delete(channel, notice)
        except SlackRefused:
            with contextlib.suppress(SlackRefused):
                yield from insisting(lambda: self._slack.update(channel, notice, said, leave=FOR_CARDS))
        except SlackFailed:
            return False
        return True

    def insist_on_withdrawal(self, asked: Asked, instead: str) -> Steps[None]:
        """Withdraw the notice, repeating the call until Slack accepts or refuses it."""
        with contextlib.suppress(SlackFailed):
            yield from insisting(lambda: self._slack.delete(asked.question.channel, asked.notice or ""))
            return
        yield from self.withdraw(asked, instead)

    def over(self, asked: Asked, sentence: str) -> Steps[None]:
        """Post the reason why the question will not be answered, with a mention of the person who asked."""
        yield from self._in_thread(asked, Message(text=f"<@{asked.question.user}> {_words(sentence)}"), Saying.OVER)
        if asked.notice is not None:
            yield from self.insist_on_withdrawal(asked, "Your question waited here.")

    def privately(self, asked: Asked, sentence: str, blocks: tuple[JSON, ...] = ()) -> Steps[None]:
        """Show a sentence to the person who asked, and to no one else.

        `blocks` replace the sentence where they can be shown.
        """
        question, plain = asked.question, Message(text=_words(sentence))
        message = Message(text=plain.text, blocks=blocks)
        if question.is_direct:
            yield from self._in_thread(asked, message, Saying.OVER)
            return
        place = question.channel, question.user
        try:
            # After a lost reply it is sent again: an ephemeral message cannot be looked up.
            yield from insisting(lambda: self._slack.whisper(*place, message, thread=question.thread_ts))
        except SlackRefused as refused:
            if not respond(question.response_url, plain):
                _LOG.info("%s gets the sentence in a direct message: %s", question.user, refused)
                channel = yield from insisting(lambda: self._slack.open_direct(question.user))
                yield from self._post_once(channel, plain, metadata(NOTICE_EVENT, question.key))

    def _in_thread(self, asked: Asked, message: Message, saying: Saying) -> Steps[str]:
        return (yield from self._post_once(asked.question.channel, message, _mark(asked, saying), _root(asked)))

    def _post_once(self, channel: str, message: Message, mark: JSON, thread: str | None = None) -> Steps[str]:
        """Repeat a post until Slack accepts it, and return its ts. After a lost reply, the message is looked for first.

        The metadata gets a number, since a question may have several notices.
        """
        mark = {**mark, "event_payload": {**mark["event_payload"], "post": secrets.token_hex(4)}}
        readable_at: float | None = None  # set once a reply is lost

        def attempt() -> str:
            nonlocal readable_at
            if readable_at is not None:
                if (rest := readable_at - time.monotonic()) > 0:
                    raise SlackBusy(rest)
                if ts := self._posted(channel, mark, thread):
                    return ts
            try:
                return self._slack.post(channel, message, thread=thread, metadata=mark)
            except SlackAway:
                readable_at = time.monotonic() + SETTLES.total_seconds()
                raise

        return (yield from insisting(attempt))

    def _posted(self, channel: str, mark: JSON, thread: str | None) -> str | None:
        try:
            return find(self._slack, channel, mark, thread=thread)
        except SlackRefused as refused:
            _LOG.info("looking for a message whose reply was lost: %s", refused)
            return None


def _mark(asked: Asked, saying: Saying) -> JSON:
    mark = metadata(NOTICE_EVENT, asked.question.key)
    return {**mark, "event_payload": {**mark["event_payload"], "saying": str(saying)}}


def _root(asked: Asked) -> str | None:
    return asked.thread or asked.question.thread_ts or asked.question.message_ts


def _words(sentence: str) -> str:
    return mrkdwn(inert(sentence))


def _about(quoted: QuotedMessage | None) -> str:
    """Which message a question is about; its start, if it is in another channel."""
    if quoted is None:
        return ""
    there = f" in <#{quoted.channel}>, “{clip(view_inert(' '.join(quoted.text.split())), QUOTED_SHOWN)}”"
    return f" about a message by {author(quoted)}{there if quoted.channel else ''}"
