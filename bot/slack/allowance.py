"""PURE: how many calls of one budget may be made: a rate that rises until Slack refuses a call, and then halves.

Times are milliseconds of one clock, which is an argument.
"""

from msgspec import Struct
from msgspec.structs import replace

LEAST_PER_MINUTE = 1.0
"""The rate does not fall below Slack's lowest tier. https://docs.slack.dev/apis/web-api/rate-limits"""
MOST = 4.0
"""The rate rises up to this multiple of the documented one. Slack documents a minimum for each tier (50+ a
minute), and no maximum: the bound is ours."""
RISES = 0.05
"""Part of the known rate by which the rate rises in a minute in which it is used up."""
RETURNS = 0.5
"""The same, while the rate is below the known one."""
KNOWN_BELOW = 0.95
"""Part of a rate that Slack has refused which is taken for known, up to the documented one."""
AFTER_REFUSAL = 0.5
"""Factor of the rate after a call that Slack refuses with 429."""
LONGEST_HOLD = 3_600_000.0
"""Maximum time that one Retry-After is honoured. Slack's are below a minute."""

MINUTE = 60_000.0


class Allowance(Struct, frozen=True, array_like=True):
    """State of one budget."""

    used: float
    """Number of calls of a burst that are used up at `seen_at`. They come back at the rate."""
    seen_at: float
    per_minute: float
    """The rate that is tried."""
    known: float
    """The rate that Slack is known to allow: the documented one, or less once it has refused less."""
    held_until: float = 0.0
    """End of the pause that Slack has asked for by a 429. `used` takes it into account."""

    @property
    def interval(self) -> float:
        return MINUTE / self.per_minute


def fresh(per_minute: float, now: float) -> Allowance:
    """Return a budget that is not used yet. `per_minute`: the documented rate."""
    return Allowance(used=0.0, seen_at=now, per_minute=per_minute, known=per_minute)


def taken(
    allowance: Allowance, now: float, *, per_minute: float, burst: int, leave: int = 0
) -> tuple[Allowance, float]:
    """Take one call: return the state after it, and 0; or the state now, and how long to wait.

    `leave`: number of calls that stay available to others.
    """
    allowance = _at(allowance, now)
    room = max(1, burst - leave)
    wait = (allowance.used + 1 - room) * allowance.interval
    if wait >= 1:  # less is rounding
        return allowance, wait
    after = replace(allowance, used=max(allowance.used, 0.0) + 1)
    is_used_up = after.used > burst - 1
    return (_risen(after, per_minute) if is_used_up else after), 0.0


def refused(allowance: Allowance, now: float, retry_after: float, *, per_minute: float, burst: int) -> Allowance:
    """Allow no call for `retry_after`, and no burst then. The rate halves once for calls that are refused together."""
    allowance = _at(allowance, now)
    if now >= allowance.held_until:
        allowance = replace(
            allowance,
            per_minute=max(allowance.per_minute * AFTER_REFUSAL, LEAST_PER_MINUTE),
            known=min(max(allowance.per_minute * KNOWN_BELOW, LEAST_PER_MINUTE), per_minute),
        )
    held = max(allowance.held_until, now + min(max(retry_after, 0.0), LONGEST_HOLD))
    used = burst - 1 + (held - now) / allowance.interval
    return replace(allowance, used=max(allowance.used, used), held_until=held)


def _risen(allowance: Allowance, per_minute: float) -> Allowance:
    """One of the calls of a minute in which the budget is used up was made, and allowed."""
    part = RETURNS if allowance.per_minute < allowance.known else RISES
    rate = min(allowance.per_minute + part * allowance.known / allowance.per_minute, per_minute * MOST)
    return replace(allowance, per_minute=rate, known=min(max(allowance.known, rate), per_minute))


def _at(allowance: Allowance, now: float) -> Allowance:
    """The state at a time. If the clock was set back, what was to come is as far away as before."""
    later = now - allowance.seen_at
    if later >= 0:
        return replace(allowance, used=max(0.0, allowance.used - later / allowance.interval), seen_at=now)
    return replace(allowance, held_until=allowance.held_until + later, seen_at=now)
