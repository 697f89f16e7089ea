"""Replies without the Web API: in an ack, and at a response_url."""

import http.client

from slack_bolt import Ack
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient

from bot.slack.message import JSON, NOTHING, Message

RESPONSE_TIMEOUT = 10
"""Seconds for one request."""

_OK = 200


def in_ack(ack: Ack, message: Message) -> None:
    """Answer a command in its ack, which needs no further call."""
    if message == NOTHING:
        ack()
        return
    ack(text=message.text, blocks=list(message.blocks) or None, response_type="ephemeral")


def respond(url: str | None, message: Message, *, thread: str | None = None, replaces: bool = False) -> bool:
    """Show a message to the person whose command or click it was; False if it failed. The request is sent once.

    `thread`: where it is shown. `replaces`: whether it replaces the message whose button was pressed, for everyone.
    """
    if not url:
        return False
    client = WebhookClient(url, timeout=RESPONSE_TIMEOUT, retry_handlers=[])
    body: JSON = {"text": message.text, "replace_original": replaces}
    if message.blocks:
        body["blocks"] = list(message.blocks)
    if not replaces:
        body |= {"response_type": "ephemeral"} | ({"thread_ts": thread} if thread else {})
    try:
        response = client.send_dict(body)
    except (SlackClientError, OSError, http.client.HTTPException, ValueError):
        return False
    return response.status_code == _OK
