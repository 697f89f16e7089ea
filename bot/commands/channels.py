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
from bot.slack.directory import CHANNEL_KEPT, Directory
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import JSON, Message
from workers.deployment.events import DeploymentId

_LOG = logging.getLogger(__name__)

CARDS = "mixtral:cards"
LIMITED = frozenset({"restricted_action_read_only_channel", "restricted_action_thread_only_channel"})
"""Obstacles of typical users. The posting permissions of such a channel may let the bot post."""
MAY_POST = Message(text="This channel limits who may post. The bot may.")

MAX_NAMED = 3
"""Maximum number of companies whose names are looked up, at one call each."""

LINKS_KEPT = 1000
"""Maximum number of cached addresses of cards. They do not change."""


class SlackChannels:
    """Safe to use from several threads."""

    def __init__(self, slack: SlackCalls, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        """`slack`: with `ACK_TIMEOUT`."""
        self._clock = clock
        self._posts_until: dict[str, float] = {}
        self._slack = slack
        self._redis: Any = redis
        self.directory = Directory(slack)
        self._links: dict[tuple[str, str], str] = {}

    def obstacle(self, channel: str, user: str) -> str:
        """The error code with which Slack refuses a message in a channel; empty if none, or Slack does not respond.

        Slack reports whether typical users may post, and not whether the bot may: that is tried by a message that only
        `user` sees.
        """
        facts = self.directory.channel(channel, newest=True)
        if facts is None:
            return ""
        if not facts.is_joined:
            return "not_in_channel"
        return "" if facts.obstacle in LIMITED and self._may_post(channel, user) else facts.obstacle

    def _may_post(self, channel: str, user: str) -> bool:
        if self._clock() < self._posts_until.get(channel, 0.0):
            return True
        try:
            self._slack.whisper(channel, user, MAY_POST)
        except (SlackFailed, RedisError) as failed:
            _LOG.info("%s", failed)
            return False
        self._posts_until[channel] = self._clock() + CHANNEL_KEPT
        return True

    def readers(self, channel: str) -> tuple[str, ...]:
        """The other companies that read a channel, each as `Acme (T0ACME)`, or as its id alone."""
        facts = self.directory.channel(channel, newest=True)
        if facts is None or not facts.is_shared:
            return ()
        teams = facts.other_teams
        return (*(self._named(team) for team in teams[:MAX_NAMED]), *teams[MAX_NAMED:]) or ("another company",)

    def _named(self, team: str) -> str:
        name = self.directory.team_name(team)
        return f"{name} ({team})" if name else team

    def open_modal(self, trigger: str, view: JSON) -> None:
        """Open a modal for the person of the trigger. Raises NotShown, also if Slack does not respond."""
        try:
            self._slack.open_view(trigger, view)
        except (SlackFailed, RedisError) as failed:
            _LOG.info("%s", failed)
            raise NotShown(failed.code if isinstance(failed, SlackRefused) else "no_answer") from failed

    def card_link(self, deployment: DeploymentId) -> str | None:
        """The address of a deployment's card; None if it has none, or Slack does not return it."""
        try:
            card = json.loads(self._redis.hget(CARDS, deployment) or "{}")
            at = (card["channel"], card["ts"])
            if (known := self._links.get(at)) is not None:
                return known
            link = self._slack.permalink(*at)
        except (KeyError, ValueError, RedisError, SlackFailed):
            return None
        if not link or not link.startswith("http"):
            return None
        if len(self._links) >= LINKS_KEPT:
            self._links.clear()
        self._links[at] = link
        return link
