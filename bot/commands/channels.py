"""The Slack calls that a command needs before it is answered. Each takes at most one second."""

import json
import logging
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from bot.commands.errors import NotShown
from bot.slack.calls import SlackCalls
from bot.slack.directory import Directory
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import JSON
from workers.deployment.events import DeploymentId

_LOG = logging.getLogger(__name__)

CARDS = "mixtral:cards"
MAX_NAMED = 3
"""Maximum number of companies whose names are looked up, at one call each."""

LINKS_KEPT = 1000
"""Maximum number of cached addresses of cards. They do not change."""


class SlackChannels:
    """Safe to use from several threads."""

    def __init__(self, slack: SlackCalls, redis: Redis) -> None:
        """`slack`: with `ACK_TIMEOUT`."""
        self._slack = slack
        self._redis: Any = redis
        self.directory = Directory(slack)
        self._links: dict[tuple[str, str], str] = {}

    def obstacle(self, channel: str) -> str:
        """The error code with which Slack refuses a message in a channel; empty if none, or Slack does not respond."""
        facts = self.directory.channel(channel)
        if facts is None:
            return ""
        return facts.obstacle if facts.is_joined else "not_in_channel"

    def readers(self, channel: str) -> tuple[str, ...]:
        """The other companies that read a channel, each as `Acme (T0ACME)`, or as its id alone."""
        facts = self.directory.channel(channel)
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
