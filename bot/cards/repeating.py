"""Repeats the look of a thread that posts messages by itself, until the bot ends."""

import logging
import secrets
import threading
from collections.abc import Callable
from datetime import timedelta

from redis.exceptions import RedisError

from workers.lease import Lease

logger = logging.getLogger(__name__)


def repeat(look: Callable[[], None], stop: threading.Event, *, every: timedelta, what: str) -> None:
    """Call `look` every `every` until `stop` is set. An error is logged with `what`, and the next look repeats it."""
    while not stop.is_set():
        try:
            look()
        except RedisError as error:
            logger.warning("Redis failed during %s; retrying: %s", what, error)
        except Exception:  # without this thread nobody is told
            logger.exception("incident %s: %s failed; retrying", secrets.token_hex(4), what)
        stop.wait(every.total_seconds())


def by_one(lease: Lease, look: Callable[[], None]) -> Callable[[], None]:
    """The look, unless another process holds the lease."""

    def held() -> None:
        with lease.held() as ours:
            if ours:
                look()

    return held
