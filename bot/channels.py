"""What a command has to ask of Slack before it is answered: never for longer than a second, and never in vain."""

import http.client
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.commands.errors import NotShown
from bot.views.message import Message
from workers.deployment.events import DeploymentId

_LOG = logging.getLogger(__name__)

CARDS = "mixtral:cards"
TIMEOUT = 1
"""Seconds for a call: a command must be acked within 3."""

REMEMBERED = 600.0
"""Seconds for which a channel that the bot is in is not asked about again."""

_NOT_THERE = frozenset({"channel_not_found", "not_in_channel"})
_UNANSWERED = (SlackClientError, OSError, http.client.HTTPException, json.JSONDecodeError)


class SlackChannels:
    """Safe to use from several threads."""

    def __init__(self, token: str, api_url: str, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Without retries: who waits for a busy Slack here has let three seconds go by.
        self._client = WebClient(token, base_url=api_url, timeout=TIMEOUT, retry_handlers=[])
        self._redis: Any = redis
        self._clock = clock
        self._joined: dict[str, float] = {}

    def may_post(self, channel: str) -> bool:
        """Whether the bot is in a channel; True where Slack does not say."""
        if self._joined.get(channel, 0.0) > self._clock():
            return True
        try:
            told: dict[str, Any] = self._client.conversations_info(channel=channel).get("channel") or {}
        except SlackApiError as error:
            return error.response.get("error") not in _NOT_THERE
        except _UNANSWERED as error:
            _LOG.info("conversations.info: %s", type(error).__name__)
            return True
        if told.get("is_member") is False and not (told.get("is_im") or told.get("is_mpim")):
            return False
        self._joined[channel] = self._clock() + REMEMBERED
        return True

    def whisper(self, channel: str, user: str, message: Message) -> None:
        """Show a message to one person alone; nothing of it is logged. Raises NotShown, also where nobody answers."""
        try:
            self._client.chat_postEphemeral(
                channel=channel, user=user, text=message.text, blocks=list(message.blocks) or None
            )
        except SlackApiError as error:
            raise NotShown(str(error.response.get("error"))) from None  # its text may repeat what was sent
        except _UNANSWERED as error:
            _LOG.info("chat.postEphemeral: %s", type(error).__name__)
            raise NotShown("no_answer") from None

    def card_link(self, deployment: DeploymentId) -> str | None:
        """The address of a deployment's card; None where it has none, or Slack does not say."""
        try:
            card = json.loads(self._redis.hget(CARDS, deployment) or "{}")
            link = self._client.chat_getPermalink(channel=card["channel"], message_ts=card["ts"]).get("permalink")
        except (KeyError, ValueError, RedisError, *_UNANSWERED):
            return None
        return link if isinstance(link, str) and link.startswith("http") else None
