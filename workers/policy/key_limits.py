"""PURE: the section `keys` of a policy: how much one key may ask of an endpoint."""

from difflib import get_close_matches
from typing import Literal, TypeAlias

from msgspec import Struct

from recipes.value import Value

UNLIMITED: Literal["unlimited"] = "unlimited"
Limit: TypeAlias = int | Literal["unlimited"]

AT_ONCE_PER_REPLICA = 128
"""Default of `at_once` for each ready replica: half of the 256 requests that vLLM computes together by default."""

MOST = {"requests_per_minute": 1_000_000, "at_once": 100_000, "bytes_per_minute": 2_000_000_000}
"""Largest number of each limit. HAProxy counts the bytes of a minute in 32 bits."""


class KeyLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of each person's key. The bot's own key has none."""

    requests_per_minute: Limit = UNLIMITED
    """Requests that are admitted."""
    at_once: Limit | None = None
    """Requests that wait for their answer or receive it; if left out, 128 for each ready replica."""
    bytes_per_minute: Limit = UNLIMITED
    """Bytes of answers."""

    def numbers(self, ready: int) -> dict[str, int]:
        """The limits that apply to a deployment with this number of ready replicas, by field."""
        at_once = AT_ONCE_PER_REPLICA * max(1, ready) if self.at_once is None else self.at_once
        found = {
            "requests_per_minute": self.requests_per_minute,
            "at_once": at_once,
            "bytes_per_minute": self.bytes_per_minute,
        }
        return {name: limit for name, limit in found.items() if limit != UNLIMITED}


def read(value: Value) -> KeyLimits:
    """Raises RecipeError with line and field."""
    fields = value.mapping()
    for name, field in fields.items():
        if name not in MOST:
            near = get_close_matches(name, MOST, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the limits are {', '.join(MOST)}"
            raise field.refused(f"{name} is no limit of keys: {hint}")
    return KeyLimits(**{name: _limit(field, MOST[name]) for name, field in fields.items() if not field.empty})


def _limit(value: Value, most: int) -> Limit:
    if value.data == UNLIMITED:
        return UNLIMITED
    if isinstance(value.data, str) and not value.data.isdecimal():
        raise value.refused(f'must be a whole number or "{UNLIMITED}", not {value.kind}')
    return value.whole(minimum=1, maximum=most)
