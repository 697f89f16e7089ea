"""Slack's rate budgets, kept in Redis and shared by all processes of the bot."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from msgspec import Struct
from redis import Redis

# A generic cell rate algorithm. The key holds the time at which the bucket is full again, in milliseconds of Redis'
# clock, since clocks of processes may differ. Reply: 0 if the call may be made, else milliseconds to wait.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full = tonumber(redis.call('GET', KEYS[1]) or 0)
if full < now then full = now end
local wait = full - now - tonumber(ARGV[2])
if wait > 0 then return math.ceil(wait) end
full = full + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil(full - now) + 1000)
return 0
"""

# Allows no call before `now + ARGV[1]`, and no burst after it.
_HOLD = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = now + tonumber(ARGV[1]) + tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or 0)
if held > full then
  redis.call('SET', KEYS[1], string.format('%.0f', held), 'PX', math.ceil(held - now) + 1000)
end
return 0
"""

NOW = timedelta()


class MethodBudget(Struct, frozen=True):
    """A rate limit: sustained calls per minute, and calls in a burst after a pause."""

    per_minute: int
    burst: int

    @property
    def interval_ms(self) -> float:
        return 60_000 / self.per_minute


# Burst and refill of a minute together stay within the tier. https://docs.slack.dev/apis/web-api/rate-limits
TIER_2 = MethodBudget(per_minute=15, burst=5)
TIER_3 = MethodBudget(per_minute=40, burst=10)
TIER_4 = MethodBudget(per_minute=80, burst=20)
SPECIAL = MethodBudget(per_minute=400, burst=200)
POSTS_TO_A_CHANNEL = MethodBudget(per_minute=60, burst=4)

LIMITS = {
    "chat.postMessage": POSTS_TO_A_CHANNEL,
    "chat.postEphemeral": TIER_4,
    "chat.update": TIER_3,
    "chat.delete": TIER_3,
    "chat.startStream": TIER_2,
    "chat.stopStream": TIER_2,
    "chat.appendStream": TIER_4,
    "conversations.history": TIER_3,
    "conversations.replies": TIER_3,
    "conversations.open": TIER_3,
    "views.open": TIER_4,
    "views.publish": TIER_4,
    "agents.sessions.setStatus": TIER_3,
    "assistant.threads.setStatus": SPECIAL,
}
"""By Web API method. `chat.postMessage` counts for each channel, the others for the whole workspace.

Methods that are not listed are called too rarely to reach a limit.
"""


class Budgets:
    """The rate limits of the workspace. Safe to use from several threads and processes. Raises RedisError."""

    def __init__(self, redis: Redis, limits: Mapping[str, MethodBudget] = LIMITS) -> None:
        self._limits = limits
        self._take: Any = redis.register_script(_TAKE)
        self._hold: Any = redis.register_script(_HOLD)

    def take(self, method: str, channel: str = "", *, leave: int = 0) -> timedelta:
        """Take one call of a method: return zero if it may be made, else the time until the next attempt.

        `leave`: number of calls that stay available to others.
        """
        budget = self._limits[method]
        room = max(0, budget.burst - 1 - leave) * budget.interval_ms
        wait = self._take([_key(method, channel)], [budget.interval_ms, room])
        return timedelta(milliseconds=int(wait))

    def hold(self, method: str, retry_after: timedelta, channel: str = "") -> None:
        """Block the method for `retry_after`: Slack answered 429."""
        budget = self._limits[method]
        room = (budget.burst - 1) * budget.interval_ms
        self._hold([_key(method, channel)], [retry_after.total_seconds() * 1000, room])


def budget_of(method: str, channel: str) -> str:
    """Return the name of the budget that a call takes from: of the method, or of the method in a channel."""
    return f"{method}:{channel}" if method == "chat.postMessage" else method


def _key(method: str, channel: str) -> str:
    return f"mixtral:rate:{budget_of(method, channel)}"
