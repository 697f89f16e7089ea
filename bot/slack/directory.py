"""Cache of Slack's data about channels and people: readers of a channel, user groups, guests, companies."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from redis.exceptions import RedisError

from bot.slack.calls import SlackCalls
from bot.slack.facts import ChannelFacts, PersonFacts, channel_facts, person_facts
from bot.slack.failures import SlackAway, SlackBusy, SlackFailed, SlackRefused

_LOG = logging.getLogger(__name__)

CHANNEL_KEPT = 600.0
"""Time in seconds for which the data of a channel is cached; below, of its members, a person, and a team's name."""
MEMBERS_KEPT = 120.0
PERSON_KEPT = 3600.0
TEAM_KEPT = 86_400.0
ASKED_AGAIN = 10.0
"""Time in seconds until a question is repeated that Slack did not answer, or refused, or whose answer may change."""
AWAY_FOR = 3.0
"""Pause in seconds of all calls of one kind after Slack did not respond. A list may need many calls, each of which
would take the whole timeout."""
BUSY_AT_MOST = 60.0
"""Maximum of this pause after a 429, in seconds."""

MOST = 2000
"""Maximum number of cached answers of each kind."""
MEMBER_PAGES = 20

_NOT_THERE = frozenset({"channel_not_found", "not_in_channel"})

Found = TypeVar("Found")


class Directory:
    """Safe to use from several threads. Methods return None if Slack refuses the call.

    If Slack does not answer, they return the last answer, however old; None if there is none.
    """

    def __init__(self, slack: SlackCalls, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._slack = slack
        self._channels: _Known[ChannelFacts] = _Known(CHANNEL_KEPT, clock)
        self._members: _Known[frozenset[str]] = _Known(MEMBERS_KEPT, clock)
        self._people: _Known[PersonFacts] = _Known(PERSON_KEPT, clock)
        self._groups: _Known[frozenset[str]] = _Known(MEMBERS_KEPT, clock)
        self._teams: _Known[str] = _Known(TEAM_KEPT, clock)

    def channel(self, channel: str, *, newest: bool = False) -> ChannelFacts | None:
        """`newest`: call Slack if the bot could not post, as it may have been invited, or the channel unarchived."""

        def look() -> ChannelFacts:
            try:
                return channel_facts(self._slack.channel(channel))
            except SlackRefused as refused:
                if refused.code in _NOT_THERE:
                    return ChannelFacts(is_joined=False)
                raise

        # Otherwise briefly cached, too: who may see a deployment is decided at each look at each open Home tab.
        return self._channels.get(
            channel, look, lasts=lambda facts: facts.is_joined and not facts.obstacle, newest=newest
        )

    def members(self, channel: str) -> frozenset[str] | None:
        """The ids of the people who can read a private channel."""

        def look() -> frozenset[str]:
            found: set[str] = set()
            cursor: str | None = None
            for _ in range(MEMBER_PAGES):
                page, cursor = self._slack.members(channel, cursor)
                found.update(page)
                if cursor is None:
                    break
            return frozenset(found)

        return self._members.get(channel, look)

    def person(self, user: str) -> PersonFacts | None:
        return self._people.get(user, lambda: person_facts(self._slack.person(user)))

    def group(self, group: str) -> frozenset[str] | None:
        """The ids of the members of a user group."""
        return self._groups.get(group, lambda: frozenset(self._slack.user_group(group)))

    def team_name(self, team: str) -> str | None:
        return self._teams.get(team, lambda: str(self._slack.team(team).get("name") or ""))


class _Known(Generic[Found]):
    """Answers by key. The oldest ones are dropped when there are more than MOST."""

    def __init__(self, kept_for: float, clock: Callable[[], float]) -> None:
        self._kept_for = kept_for
        self._clock = clock
        self._answers: dict[str, tuple[float, Found | None]] = {}
        self._silent_until = 0.0
        self._lock = threading.Lock()

    def get(
        self,
        key: str,
        look: Callable[[], Found],
        *,
        lasts: Callable[[Found], bool] = lambda _: True,
        newest: bool = False,
    ) -> Found | None:
        """The answer for a key. `look` calls Slack; several threads may call it concurrently.

        `lasts`: False of an answer that is used for ASKED_AGAIN only, and not at all if the `newest` is needed.
        """
        now = self._clock()
        with self._lock:
            until, known = self._answers.get(key, (0.0, None))
        if newest and known is not None and not lasts(known):
            until = 0.0
        if now < max(until, self._silent_until):
            return known
        try:
            found = look()
        except (SlackFailed, RedisError) as failed:
            _LOG.info("%s", failed)
            if isinstance(failed, SlackBusy | SlackAway):
                pause = min(failed.seconds, BUSY_AT_MOST) if isinstance(failed, SlackBusy) else AWAY_FOR
                self._silent_until = self._clock() + pause
            instead = None if isinstance(failed, SlackRefused) else known
            self._put(key, now + ASKED_AGAIN, instead)
            return instead
        self._put(key, now + (self._kept_for if lasts(found) else ASKED_AGAIN), found)
        return found

    def _put(self, key: str, until: float, answer: Found | None) -> None:
        with self._lock:
            self._answers.pop(key, None)
            while len(self._answers) >= MOST:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = until, answer
