"""The Slack calls that a command needs before it is answered. Each takes at most one second."""

import json
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from bot.slack.calls import SlackCalls
from bot.slack.directory import Directory
from bot.slack.failures import SlackFailed
from workers.deployment.events import DeploymentId

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
