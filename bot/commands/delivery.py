"""The delivery of a message to one person: beside a button's message, in a modal, or after an ack."""

import logging
from typing import Any

from redis.exceptions import RedisError

from bot.commands.context import Caller
from bot.language.question import Question
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import NOTHING, Message
from bot.slack.responses import respond
from bot.slack.slack_steps import Steps, insisting

_LOG = logging.getLogger(__name__)

MODAL_BLOCKS = 100


def beside(message: Message, caller: Caller, slack: SlackCalls) -> None:
    """Show the answer to a click: ephemerally in its channel, or in a modal if it has no channel."""
    place = caller.channel, caller.user
    if respond(caller.response_url, message, thread=caller.thread):
        return

    def steps() -> Steps[None]:
        try:
            yield from insisting(lambda: slack.whisper(*place, message, thread=caller.thread), after_away=False)
        except (SlackFailed, RedisError) as error:
            _LOG.warning("message to %s in %s not delivered: %s", caller.user, caller.channel, error)

    if caller.channel:
        slack.outbox.put(caller.channel, steps())
        return
    try:
        slack.open_view(caller.once, modal_of(message))
    except (SlackFailed, RedisError) as error:
        _LOG.warning("message to %s in a modal not delivered: %s", caller.user, error)


def in_reply(message: Message, question: Question, slack: SlackCalls) -> None:
    """Answer a message privately: ephemerally in its channel and thread, in direct messages by a reply that stays.

    Where Slack refuses an ephemeral message, the answer is a direct message. Returns before it is sent.
    """
    slack.outbox.put(question.channel, _in_reply(message, question, slack))


def _in_reply(message: Message, question: Question, slack: SlackCalls) -> Steps[None]:
    place = question.channel, question.user
    try:
        if question.is_direct:
            root = question.thread_ts or question.message_ts
            yield from insisting(lambda: slack.post(question.channel, message, thread=root), after_away=False)
            return
        try:
            yield from insisting(lambda: slack.whisper(*place, message, thread=question.thread_ts), after_away=False)
        except SlackRefused as refused:
            _LOG.info("%s gets the answer in a direct message: %s", question.user, refused)
            channel = yield from insisting(lambda: slack.open_direct(question.user))
            yield from insisting(lambda: slack.post(channel, message), after_away=False)
    except (SlackFailed, RedisError) as error:
        _LOG.warning("answer to %s in %s not delivered: %s", question.user, question.channel, error)


def after_ack(message: Message, caller: Caller) -> None:
    """Answer a command after its ack."""
    if message != NOTHING and not respond(caller.response_url, message):
        _LOG.warning("answer not delivered: its response_url no longer accepts messages")


def modal_of(message: Message) -> dict[str, Any]:
    """A modal that shows a message."""
    text = {"type": "section", "text": {"type": "mrkdwn", "text": message.text[:3000]}}
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Mixtral"},
        "close": {"type": "plain_text", "text": "Close"},
        "blocks": list(message.blocks[:MODAL_BLOCKS]) or [text],
    }
