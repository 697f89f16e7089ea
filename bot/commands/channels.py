"""The Slack calls that a command needs before it is answered. Each takes at most one second."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from bot.commands.errors import NotShown
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.message import Message
from workers.deployment.events import DeploymentId

_LOG = logging.getLogger(__name__)

CARDS = "mixtral:cards"
REMEMBERED = 600.0
"""Time for which the bot's membership in a channel is cached, in seconds."""

_NOT_THERE = frozenset({"channel_not_found", "not_in_channel"})


class SlackChannels:
    """Safe to use from several threads."""

    def __init__(self, slack: SlackCalls, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`slack`: with `ACK_TIMEOUT`."""
        self._slack = slack
        self._redis: Any = redis
        self._clock = clock
        self._joined: dict[str, float] = {}

    def may_post(self, channel: str) -> bool:
        """Whether the bot is a member of a channel; True if Slack does not respond."""
        if self._joined.get(channel, 0.0) > self._clock():
            return True
        try:
            info = self._slack.channel(channel)
        except SlackRefused as refused:
            return refused.code not in _NOT_THERE
        except SlackFailed as failed:
            _LOG.info("%s", failed)
            return True
        if info.get("is_member") is False and not (info.get("is_im") or info.get("is_mpim")):
            return False
        self._joined[channel] = self._clock() + REMEMBERED
        return True

    def whisper(self, channel: str, user: str, message: Message) -> None:
        """Show a message to one person. It is not logged. Raises NotShown, also if Slack does not respond."""
        try:
            self._slack.whisper(channel, user, message, text_alone=False)  # the key is in the blocks
        except SlackRefused as refused:
            raise NotShown(refused.code) from refused
        except (SlackFailed, RedisError) as failed:
            _LOG.info("%s", failed)
            raise NotShown("ratelimited" if isinstance(failed, SlackBusy) else "no_answer") from failed

    def card_link(self, deployment: DeploymentId) -> str | None:
        """The address of a deployment's card; None if it has none, or Slack does not return it."""
        try:
            card = json.loads(self._redis.hget(CARDS, deployment) or "{}")
            link = self._slack.permalink(card["channel"], card["ts"])
        except (KeyError, ValueError, RedisError, SlackFailed):
            return None
        return link if link and link.startswith("http") else None
