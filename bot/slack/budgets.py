"""Slack's rate budgets, kept in Redis and shared by all processes of the bot."""

import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import MsgspecError, Struct
from redis import Redis

from bot.slack.allowance import Allowance, fresh, refused, taken

# Redis' clock, since clocks of processes may differ.
_READ = """
local time = redis.call('TIME')
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('GET', KEYS[1]) or ''}
"""

# Writes only over what was read: of processes that take at once, one takes first.
_WRITE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

KEPT = timedelta(days=1)
"""Time for which a rate is kept that is not used. After it, the rate is the documented one again."""
CONTENDED = timedelta(seconds=0.05)
"""Time until the next attempt if other processes took from the budget at each attempt."""
ATTEMPTS = 20

NOW = timedelta()

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Allowance).decode


class MethodBudget(Struct, frozen=True):
    """A rate limit: sustained calls per minute at first, and calls in a burst after a pause."""

    per_minute: int
    burst: int


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
"""By Web API method. A rate rises until Slack refuses a call (`allowance`).

`chat.postMessage` counts for each channel, the others for the whole workspace. Methods that are not listed are called
too rarely to reach a limit.
"""


class Budgets:
    """The rate limits of the workspace. Safe to use from several threads and processes. Raises RedisError."""

    def __init__(self, redis: Redis, limits: Mapping[str, MethodBudget] = LIMITS) -> None:
        self._limits = limits
        self._read: Any = redis.register_script(_READ)
        self._write: Any = redis.register_script(_WRITE)

    def take(self, method: str, channel: str = "", *, leave: int = 0) -> timedelta:
        """Take one call of a method: return zero if it may be made, else the time until the next attempt.

        `leave`: number of calls that stay available to others.
        """
        limit = self._limits[method]
        for _ in range(ATTEMPTS):
            before, now, allowance = self._stored(method, channel)
            after, wait = taken(allowance, now, per_minute=limit.per_minute, burst=limit.burst, leave=leave)
            if wait > 0:
                return timedelta(milliseconds=math.ceil(wait))
            if self._put(method, channel, before, after):
                return NOW
        return CONTENDED

    def hold(self, method: str, retry_after: timedelta, channel: str = "") -> None:
        """Block the method for `retry_after`, and halve its rate: Slack answered 429."""
        limit = self._limits[method]
        for _ in range(ATTEMPTS):
            before, now, allowance = self._stored(method, channel)
            pause = retry_after.total_seconds() * 1000
            after = refused(allowance, now, pause, per_minute=limit.per_minute, burst=limit.burst)
            if self._put(method, channel, before, after):
                return

    def _stored(self, method: str, channel: str) -> tuple[bytes, float, Allowance]:
        now, stored = self._read([_key(method, channel)])
        if stored:
            with suppress(MsgspecError):
                return stored, float(now), _decode(stored)
        return stored, float(now), fresh(self._limits[method].per_minute, float(now))

    def _put(self, method: str, channel: str, before: bytes, after: Allowance) -> bool:
        kept = int(KEPT.total_seconds() * 1000)
        return bool(self._write([_key(method, channel)], [before, _encode(after), kept]))


def budget_of(method: str, channel: str) -> str:
    """Return the name of the budget that a call takes from: of the method, or of the method in a channel."""
    return f"{method}:{channel}" if _is_by_channel(method) else method


def _key(method: str, channel: str) -> str:
    """Versions before the rates could rise keep a number in `mixtral:pace:…`, and fail on any other value there."""
    return f"mixtral:rate:{method}:{channel}" if _is_by_channel(method) else f"mixtral:rate:{method}"


def _is_by_channel(method: str) -> bool:
    return method == "chat.postMessage"
