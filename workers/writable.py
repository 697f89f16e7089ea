"""Whether Redis accepts writes; one that is a replica, full or without space on its disk answers and refuses them."""

import logging
import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from workers.redis_failures import failure_of

logger = logging.getLogger(__name__)

CHECKED = "mixtral:checked"

RETRY = 1.0
"""Interval between two attempts, in seconds."""


def write(redis: Redis) -> None:
    """Write a key that expires at once. Raises RedisError."""
    client: Any = redis
    client.set(CHECKED, 1, px=1)


def wait_for(redis: Redis) -> None:
    """Return once Redis accepts a write. Each cause is logged once."""
    logged = ""
    while True:
        try:
            write(redis)
        except RedisError as error:
            failure = failure_of(error)
            if failure.cause != logged:
                logger.warning("waiting: %s; mend: %s", failure.in_full, failure.mend)
            logged = failure.cause
            time.sleep(RETRY)
        else:
            return
