"""Rate limits of methods: Slack's tiers as token buckets."""

import math
from collections.abc import Callable
from typing import Final

import msgspec

from bot.sandbox.limits import SlackError


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket's refill, in calls per minute, and its size: the calls that may come together after a pause."""

    per_minute: float
    burst: int


# Slack documents "N+ per minute" and allows bursts of an unspecified size. A bucket of half a
# minute's calls admits an app that respects its tier, and refuses one that does not.
TIERS: Final = {
    1: Rate(per_minute=1, burst=1),
    2: Rate(per_minute=20, burst=10),
    3: Rate(per_minute=50, burst=25),
    4: Rate(per_minute=100, burst=50),
}
# Slack's "special" tier: hundreds per minute.
SPECIAL: Final = Rate(per_minute=600, burst=300)
# One message per second and channel; Slack allows "short bursts" above it.
POSTS_PER_CHANNEL: Final = Rate(per_minute=60, burst=10)

METHOD_TIERS: Final = {
    "apps.connections.open": 3,
    "agents.sessions.rename": 3,
    "agents.sessions.setStatus": 3,
    "assistant.threads.setSuggestedPrompts": 4,
    "assistant.threads.setTitle": 4,
    "api.test": 4,
    "bots.info": 3,
    "chat.appendStream": 4,
    "chat.delete": 3,
    "chat.postEphemeral": 4,
    "chat.startStream": 2,
    "chat.stopStream": 2,
    "chat.update": 3,
    "conversations.history": 3,
    "conversations.info": 3,
    "conversations.join": 3,
    "conversations.list": 2,
    "conversations.members": 4,
    "conversations.open": 3,
    "conversations.replies": 3,
    "reactions.add": 3,
    "reactions.remove": 2,
    "team.info": 3,
    "usergroups.list": 2,
    "usergroups.users.list": 2,
    "users.conversations": 3,
    "users.info": 4,
    "users.list": 2,
    "views.open": 4,
    "views.publish": 4,
    "views.push": 4,
    "views.update": 4,
}


class Bucket:
    """A token bucket; `now` is in seconds."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._per_second = rate.per_minute / 60
        self._size = float(rate.burst)
        self._tokens = self._size
        self._at = now

    def take(self, now: float) -> float:
        """Take one token and return 0, or return the seconds until one is available."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second


class Rates:
    """All buckets of the workspace; `scale` multiplies their rates and sizes, 0 removes the limits."""

    def __init__(self, scale: float, clock: Callable[[], float]) -> None:
        self._scale = scale
        self._clock = clock
        self._buckets: dict[tuple[str, str], Bucket] = {}

    def spend(self, method: str, channel: str = "") -> None:
        """Count one call. Raises SlackError: `ratelimited`, with status 429 and Retry-After in whole seconds."""
        if self._scale <= 0:
            return
        wait = self._take(method, "", rate_of(method))
        if not wait and method == "chat.postMessage" and channel:
            wait = self._take(method, channel, POSTS_PER_CHANNEL)
        if wait:
            raise rate_limited(wait)

    def _take(self, method: str, channel: str, rate: Rate) -> float:
        now = self._clock()
        bucket = self._buckets.get((method, channel))
        if bucket is None:
            scaled = Rate(per_minute=rate.per_minute * self._scale, burst=max(1, round(rate.burst * self._scale)))
            bucket = self._buckets[method, channel] = Bucket(scaled, now)
        return bucket.take(now)


def rate_of(method: str) -> Rate:
    tier = METHOD_TIERS.get(method)
    return SPECIAL if tier is None else TIERS[tier]


def rate_limited(seconds: float) -> SlackError:
    """The error with status 429 and the seconds to wait, rounded up."""
    return SlackError("ratelimited", status=429, headers={"Retry-After": str(max(1, math.ceil(seconds)))})
