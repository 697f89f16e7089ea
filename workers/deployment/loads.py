"""The newest load of each deployment, from the gateway that sees it to the sweeper that acts on it."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from redis import Redis

from workers.decision.load import Load
from workers.deployment.events import DeploymentId

logger = logging.getLogger(__name__)

LOADS = "mixtral:load"

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
