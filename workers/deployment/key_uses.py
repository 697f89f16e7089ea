"""When each key was last used: the gateway writes it, the bot shows it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from workers.deployment.events import DeploymentId, KeyId

KEPT = timedelta(days=30)
"""Time after the last use of any of its keys at which a deployment's hash expires."""


class KeyUses:
    """One Redis hash for each deployment: Unix seconds by the key's id. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def write(self, deployment: DeploymentId, uses: Mapping[KeyId, datetime]) -> None:
        """Add to what is known; `uses` is not empty."""
        with self._redis.pipeline() as both:
            both.hset(_name(deployment), mapping={key: int(at.timestamp()) for key, at in uses.items()})
            both.expire(_name(deployment), KEPT)
            both.execute()

    def read(self, deployment: DeploymentId, now: datetime) -> dict[KeyId, datetime]:
        """The last use of each key that was used in the last 30 days; it is at most some seconds old."""
        found = self._redis.hgetall(_name(deployment))
        uses = {KeyId(key.decode()): datetime.fromtimestamp(int(at), UTC) for key, at in found.items()}
        return {key: at for key, at in uses.items() if now - at <= KEPT}  # the hash expires as a whole


def _name(deployment: DeploymentId) -> str:
    return f"mixtral:key_uses:{deployment}"
