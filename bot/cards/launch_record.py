"""The times of past launches in Redis, by recipe. Only the process that follows the feed writes them."""

import logging
from typing import Any

import msgspec
from redis import Redis

from bot.views.launch_times import LaunchTime, launch_time, usual
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

LAUNCHES = "mixtral:launches"

KEPT = 20
"""Maximum number of launches of a recipe that are kept; the newest ones."""


class LaunchRecord:
    """Raises RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._noted: set[DeploymentId] = set()

    def note(self, state: Deployment) -> None:
        """Record the launch of a deployment that is or was ready, once."""
        if not state.established or state.id in self._noted:
            return
        before, time = self._of(state.recipe.name), launch_time(state)
        if time is not None and state.id not in {one.deployment for one in before}:
            self._redis.hset(LAUNCHES, state.recipe.name, msgspec.json.encode([*before, time][-KEPT:]))
        self._noted.add(state.id)

    def forget(self, deployment: DeploymentId) -> None:
        """Forget a deployment that will not be noted again."""
        self._noted.discard(deployment)

    def usual(self, state: Deployment) -> str:
        """How long launches like this one usually take; empty if that is not known, or it is over."""
        if state.established or state.ended is not None:
            return ""
        return usual(state, self._of(state.recipe.name))

    def _of(self, recipe: str) -> list[LaunchTime]:
        value = self._redis.hget(LAUNCHES, recipe)
        try:
            return msgspec.json.decode(value, type=list[LaunchTime]) if value else []
        except msgspec.MsgspecError as error:
            logger.warning("the times of launches of %s cannot be read, and are discarded: %s", recipe, error)
            return []
