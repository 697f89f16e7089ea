"""The refreshed prices in Redis, the same for every host of an installation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from workers.placement.in_use import Shared

KEY = "mixtral:prices"

FORM = 1
"""Incremented if older versions can no longer use what this version writes."""

UNANSWERED = "The prices in Redis are not used, because it does not answer"
"""Beginning of the sentence about prices in Redis that cannot be used because Redis does not answer."""

ANSWERS_WITHIN = 0.7
"""Timeout of Redis in seconds for commands that work without it."""


class SharedPrices(Struct, frozen=True, kw_only=True):
    """The value of KEY, as JSON. One SET replaces it."""

    form: int = FORM
    table: str = ""
    """CSV, in the columns of `prices.as_csv`."""
    tried_at: datetime
    """When the last refresh ended."""
    failed: tuple[str, ...] = ()
    """A sentence for each source, or part of one, that the last refresh could not read."""


def load(redis: Any) -> tuple[SharedPrices | None, str]:
    """The stored prices, None if there are none; and why they cannot be used. Raises RedisError.

    Those of another form have an empty table.
    """
    raw = redis.get(KEY)
    if raw is None:
        return None, ""
    try:
        found = msgspec.json.decode(raw, type=SharedPrices)
    except msgspec.MsgspecError as error:
        return None, f"The prices in Redis are ignored, because this version cannot read them: {error}."
    if found.form != FORM:
        written = "a newer" if found.form > FORM else "an older"
        why = f"The prices in Redis are ignored, because {written} version of mixtral-bot wrote them."
        return replace(found, table=""), why
    return found, ""


def store(redis: Any, prices: SharedPrices) -> None:
    """Replace the stored prices. Raises RedisError."""
    redis.set(KEY, msgspec.json.encode(prices))


def reader(redis: Any) -> Shared:
    """The table in Redis, for `in_use`. If Redis does not answer, the other tables are used."""

    def shared() -> tuple[str, str]:
        from redis.exceptions import RedisError  # noqa: PLC0415 - 0.1 s, not needed without REDIS_URL

        try:
            found, why = load(redis)
        except (RedisError, OSError) as error:
            cause = " ".join(str(error).split()).rstrip(".")
            return "", f"{UNANSWERED}: {cause}."
        return (found.table if found else ""), why

    return shared


def of_environ(environ: Mapping[str, str]) -> Shared | None:
    """As `reader`, for the commands that also work without Redis; None without REDIS_URL."""
    client = connect(environ)
    return reader(client) if client is not None else None


def connect(environ: Mapping[str, str]) -> Any | None:
    """A client with short timeouts; None without a valid REDIS_URL."""
    url = environ.get("REDIS_URL")
    if not url:
        return None
    from redis import Redis  # noqa: PLC0415 - 0.1 s, not needed without REDIS_URL
    from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    from redis.retry import Retry  # noqa: PLC0415 - as above

    once = {"retry": Retry(NoBackoff(), 0), "retry_on_timeout": False}
    try:
        return Redis.from_url(url, socket_connect_timeout=ANSWERS_WITHIN, socket_timeout=ANSWERS_WITHIN, **once)
    except ValueError:
        return None  # `check` and the processes that need Redis report it
