"""The newest load of each deployment, from the gateway that sees it to the sweeper that acts on it."""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from workers.deployment.events import DeploymentId

logger = logging.getLogger(__name__)

LOADS = "mixtral:load"


class Load(Struct, frozen=True, kw_only=True):
    """One look at the gateway and at the engines of a deployment."""

    at: datetime
    qps: float
    """Requests per second that arrived at the gateway, a mean over QPS_WINDOW."""
    last_request_at: datetime | None = None
    """When a request last arrived; None: not since the gateway started."""
    in_work: int = 0
    """Requests that are being answered: a stream may last longer than the quiet that ends a replica."""
    held: int = 0
    """Requests that wait at the gateway, because no replica is up."""
    waiting: int | None = None
    """Requests that wait in the engines' queues, all together; None: no engine tells."""
    ready: int | None = None
    """Replicas that serve; None: unknown."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Load).decode


class Loads:
    """One Redis hash. Losing it costs what autoscaling had seen so far, and nothing else."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def write(self, loads: Mapping[DeploymentId, Load]) -> None:
        if loads:
            self._redis.hset(LOADS, mapping={id_: _encode(load) for id_, load in loads.items()})

    def keep_only(self, known: Collection[DeploymentId]) -> None:
        """Forget deployments that are gone."""
        gone = [field for field in self._redis.hkeys(LOADS) if field.decode() not in known]
        if gone:
            self._redis.hdel(LOADS, *gone)

    def read(self, deployments: Collection[DeploymentId]) -> dict[DeploymentId, Load]:
        """Those of `deployments` that the gateway has seen."""
        if not deployments:
            return {}
        wanted = list(deployments)
        found = zip(wanted, self._redis.hmget(LOADS, wanted), strict=True)
        return {id_: load for id_, value in found if value and (load := _load(value))}


def _load(value: bytes) -> Load | None:
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return None  # by a gateway of another version
