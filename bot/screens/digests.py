"""Posts the costs of the last week on Mondays, where a channel asks for it."""

import logging
import threading
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from redis import Redis
from redis.exceptions import RedisError

from bot.commands.context import CommandContext
from bot.commands.cost_handler import last_week
from bot.commands.settle import new_incident
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.message import JSON
from bot.slack.reading import find
from bot.views.cost import Span, digest
from workers.lease import Lease

_LOG = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)
"""Longer than a pass: a channel's budget of messages may delay each post."""
EVERY = timedelta(minutes=1)
AT = timedelta(hours=9)
"""Time of day on Monday from which the digest is posted."""

LATE = timedelta(days=1)
"""Time after which a digest that was not posted is left out, as after an outage."""

KEPT = timedelta(days=14)
BEGUN = b"begun"

DIGEST = "mixtral_digest"
"""The event type of the message's metadata."""


class Digests:
    """One process at a time works, by lease. Each channel gets one digest per week, also across crashes."""

    def __init__(self, context: CommandContext, slack: SlackCalls, redis: Redis) -> None:
        self._context = context
        self._slack = slack
        self._redis: Any = redis
        self._lease = Lease(redis, "digest", LEASE)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            try:
                with self._lease.held() as ours:
                    if ours:
                        self.deliver()
            except RedisError as error:
                _LOG.warning("the costs of the last week cannot be posted; retrying: %s", error)
            except Exception as error:  # noqa: BLE001 - the next pass repeats it
                new_incident(error)
            stop.wait(EVERY.total_seconds())

    def deliver(self) -> None:
        """Post what is due and not posted yet. Raises RedisError."""
        now = self._context.now()
        week = last_week(now, ZoneInfo(self._context.policy().budgets.zone))
        if not is_due(now, week):
            return
        for channel in self._context.settings.with_digest():
            try:
                self._deliver(channel, week)
            except SlackFailed as failed:
                _LOG.warning("the costs of the last week were not posted in %s: %s", channel, failed)

    def _deliver(self, channel: str, week: Span) -> None:
        monday = f"{week.until:%Y-%m-%d}"
        key = f"mixtral:digest:{channel}:{monday}"
        stored = self._redis.get(key)
        if stored not in (None, BEGUN):
            return
        mark: JSON = {"event_type": DIGEST, "event_payload": {"week": monday}}
        try:
            posted = self._posted(channel, mark, week) if stored == BEGUN else None
            if posted is None:
                self._redis.set(key, BEGUN, ex=KEPT)
                used = self._context.deployments.book().used(week.since, week.until)
                here = [use for use in used if use.owner is not None and use.owner.channel == channel]
                posted = self._slack.post(channel, digest(here, week), metadata=mark)
        except SlackRefused as refused:  # a channel that the bot has left, for example
            _LOG.warning("the costs of the last week cannot be posted in %s: %s", channel, refused)
            posted = f"refused: {refused.code}"
        self._redis.set(key, posted, ex=KEPT)

    def _posted(self, channel: str, mark: JSON, week: Span) -> str | None:
        """The ts of the digest if a process that ended has posted it."""
        try:
            return find(self._slack, channel, mark, since=week.until)
        except SlackRefused as refused:  # without access to the history, a second message is better than none
            _LOG.info("looking for the digest in %s: %s", channel, refused)
            return None


def is_due(now: datetime, week: Span) -> bool:
    """Whether the digest of the week that has ended is to be posted: on Monday from 09:00, and a day late at most."""
    local = now.astimezone(week.zone)
    monday = week.until.astimezone(week.zone) + AT  # of the wall clock
    return monday <= local < monday + LATE
