"""The door: every command, click, modal and event passes it before its listener. Strangers are refused here."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from slack_bolt import Ack, BoltContext, BoltResponse

from bot.commands.delivery import modal_of
from bot.commands.sight import Known
from bot.commands.strangers import Home, Sender, Standing, once_asked, sender_of, standing
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed
from bot.slack.message import JSON, Message
from bot.slack.responses import respond

_LOG = logging.getLogger(__name__)

OUTSIDE = "outside"
"""Key of Bolt's context: whether the sender is of another company that is let in."""

TOLD_FOR = timedelta(days=1)
"""Interval between two sentences to a stranger who writes to the bot in a channel."""

REFUSED = Message(
    text="Only people of the company that runs this bot can use it, so nothing was done. Ask one of them; they can let "
    "your workspace in."
)

NOBODY = Message(text="Slack did not say who sent this, so nothing was done. Send it again.")


class Door:
    """Bolt's middleware. The payload decides; Slack is asked only about senders of whom it does not say enough."""

    def __init__(
        self, home: Home, *, directory: Known, slack: SlackCalls, redis: Redis, later: Executor, bot_user: str
    ) -> None:
        self._home = home
        self._directory = directory
        self._slack = slack
        self._redis: Any = redis
        self._later = later
        self._mention = f"<@{bot_user}"

    def enter(self, ack: Ack, body: JSON, context: BoltContext, next_: Callable[[], None]) -> BoltResponse | None:
        """Pass the payload on, or refuse it."""
        sender = sender_of(body)
        if not sender.user and "event" not in body:
            return _in_ack(ack, body, NOBODY)
        found = self._standing(sender)
        if found is Standing.STRANGER:
            self._tell_the_stranger(body, sender)
            return _in_ack(ack, body, REFUSED)
        context[OUTSIDE] = found is Standing.INVITED
        next_()
        return None

    def _standing(self, sender: Sender) -> Standing:
        found = standing(sender, self._home)
        if found is not Standing.UNCLEAR:
            return found
        if (person := self._directory.person(sender.user)) is not None:
            return once_asked(sender, person, sender.shared, self._home)
        channel = self._directory.channel(sender.channel) if sender.channel else None
        shared = channel.is_shared if channel is not None and channel.is_joined else sender.shared
        return once_asked(sender, None, shared, self._home)

    def _tell_the_stranger(self, body: JSON, sender: Sender) -> None:
        """Where an ack cannot say it: after a click, and in a channel once a day."""
        event = body.get("event")
        if isinstance(event, dict) and not self._is_addressed(event):
            return  # as most messages in a shared channel
        _LOG.info("refused: %s of %s in %s", sender.user, sender.team or "an unknown team", sender.channel or "-")
        if body.get("type") == "block_actions":
            self._later.submit(self._tell_who_clicked, sender, body.get("response_url"))
        elif isinstance(event, dict):
            self._later.submit(self._tell_once, sender, event.get("thread_ts"))

    def _is_addressed(self, event: JSON) -> bool:
        """Whether the sender expects an answer: a mention or a direct message."""
        if event.get("type") == "app_mention":
            return True
        if event.get("type") != "message" or event.get("subtype"):
            return False
        return event.get("channel_type") == "im" or self._mention in (event.get("text") or "")

    def _tell_who_clicked(self, sender: Sender, response_url: str | None) -> None:
        if not respond(response_url, REFUSED):
            self._tell(sender, None)

    def _tell_once(self, sender: Sender, thread: str | None) -> None:
        key = f"mixtral:told:{sender.channel}:{sender.user}"
        try:
            if self._redis.set(key, 1, nx=True, ex=int(TOLD_FOR.total_seconds())):
                self._tell(sender, thread)
        except RedisError as error:
            _LOG.info("%s is not told why they get no answer: %s", sender.user, error)

    def _tell(self, sender: Sender, thread: str | None) -> None:
        try:
            self._slack.whisper(sender.channel, sender.user, REFUSED, thread=thread)
        except (SlackFailed, RedisError) as error:
            _LOG.info("%s is not told why they get no answer: %s", sender.user, error)


def _in_ack(ack: Ack, body: JSON, message: Message) -> BoltResponse:
    """Ack with a sentence, where an ack shows one: to a command and to a modal."""
    if "command" in body:
        return ack(text=message.text, response_type="ephemeral")
    values = ((body.get("view") or {}).get("state") or {}).get("values") or {}
    if body.get("type") != "view_submission":
        return ack()
    if block := next(iter(values), None):
        return ack(response_action="errors", errors={block: message.text})
    return ack(response_action="update", view=modal_of(message))
