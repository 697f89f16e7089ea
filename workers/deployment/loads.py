"""The newest load of each deployment, which the gateway writes and the sweeper reads."""

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


class ReplicaLoad(Struct, frozen=True, kw_only=True):
    """One observation of a replica by the gateway."""

    up: bool
    """Whether the gateway's health check of it passes."""
    requests: int
    """Requests that it is answering."""
    idle: float | None = None
    """Seconds since its answers last grew; None if they have not since the gateway started."""


class Load(Struct, frozen=True, kw_only=True):
    """One observation of the gateway and of the engines of a deployment."""

    at: datetime
    qps: float
    """Requests per second that arrived at the gateway, averaged over QPS_WINDOW."""
    last_request_at: datetime | None = None
    """When a request last arrived; None if none has since the gateway started."""
    in_work: int = 0
    """Requests that are being answered. A stream may last longer than the idle time after which a replica ends."""
    held: int = 0
    """Requests that wait at the gateway, because no replica is ready."""
    waiting: int | None = None
    """Sum of the requests in the engines' queues; None if no engine reports its queue."""
    ready: int | None = None
    """Number of ready replicas; None if unknown."""
    replicas: dict[int, ReplicaLoad] = {}
    """The replicas that have a server at the gateway, by the number of their attempt."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Load).decode


class Loads:
    """One Redis hash. If it is lost, the delays of autoscaling start again."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def write(self, loads: Mapping[DeploymentId, Load]) -> None:
        if loads:
            self._redis.hset(LOADS, mapping={id_: _encode(load) for id_, load in loads.items()})

    def keep_only(self, known: Collection[DeploymentId]) -> None:
        """Delete the loads of all other deployments."""
        gone = [field for field in self._redis.hkeys(LOADS) if field.decode() not in known]
        if gone:
            self._redis.hdel(LOADS, *gone)

    def read(self, deployments: Collection[DeploymentId]) -> dict[DeploymentId, Load]:
        """The loads that the gateway has written for `deployments`."""
        if not deployments:
            return {}
        wanted = list(deployments)
        found = zip(wanted, self._redis.hmget(LOADS, wanted), strict=True)
        return {id_: load for id_, value in found if value and (load := _load(value))}


def _load(value: bytes) -> Load | None:
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return None  # written by another version of the gateway
