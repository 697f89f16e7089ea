"""How a message gets to the one person whom it is for: in an ack, beside a button's message, or in a modal."""

import logging
from typing import Any

from redis.exceptions import RedisError
from slack_bolt import Ack, Respond
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot.commands.desk import Caller
from bot.rate import Rates
from bot.slack_failures import SlackFailed, within
from bot.views.message import Message

_LOG = logging.getLogger(__name__)

MODAL_BLOCKS = 100


def in_ack(ack: Ack, message: Message) -> None:
    """Answer a command with the ack itself: no further call, and it can't get lost on its own."""
    ack(text=message.text, blocks=list(message.blocks) or None, response_type="ephemeral")


def beside(message: Message, caller: Caller, client: WebClient, respond: Respond, rates: Rates) -> None:
    """Show the answer to a click: ephemerally in its channel, or in a modal where it came from no channel."""
    try:
        if caller.response_url and _responded(respond, message):
            return
        if caller.channel:
            blocks = list(message.blocks) or None
            client.chat_postEphemeral(channel=caller.channel, user=caller.user, text=message.text, blocks=blocks)
        else:
            view = {"trigger_id": caller.once, "view": _modal(message)}
            within(rates, "views.open", client.views_open, view)
    except (SlackClientError, OSError, SlackFailed, RedisError) as error:
        _LOG.warning("%s could not be told in %s: %s", caller.user, caller.channel or "a modal", _code(error))


def after_ack(message: Message, respond: Respond) -> None:
    """Answer a command whose ack is gone."""
    if not _responded(respond, message):
        _LOG.warning("an answer came too late: its response_url takes nothing any more")


def _responded(respond: Respond, message: Message) -> bool:
    blocks = list(message.blocks) or None
    try:
        told = respond(text=message.text, blocks=blocks, response_type="ephemeral", replace_original=False)
    except (SlackClientError, OSError, ValueError):
        return False
    return bool(told.status_code == 200)  # noqa: PLR2004 - HTTP's OK


def _modal(message: Message) -> dict[str, Any]:
    said = {"type": "section", "text": {"type": "mrkdwn", "text": message.text[:3000]}}
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Mixtral"},
        "close": {"type": "plain_text", "text": "Close"},
        "blocks": list(message.blocks[:MODAL_BLOCKS]) or [said],
    }


def _code(error: Exception) -> str:
    """An error's name: its text repeats what was sent, which may hold a key."""
    if isinstance(error, SlackFailed):
        return str(error)
    response: Any = getattr(error, "response", None)
    data = getattr(response, "data", response)
    return str(data.get("error")) if isinstance(data, dict) else type(error).__name__
