"""Since when each deployment has no request, as the sweeper has observed it. It survives restarts of every process."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from workers.deployment.events import DeploymentId

IDLE = "mixtral:idle"


class IdleTime(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known about the requests of one deployment."""

    since: datetime
    """Earliest time from which it is certain that no request came or was answered."""
    seen: datetime
    """Time of the newest observation by the gateway."""
    last: datetime | None = None
    """The last request that the gateway reported; None if it has reported none since it started."""
    asked: bool = False
    """Whether a request set `since`; otherwise the observation began then."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(IdleTime).decode


class IdleTimes:
    """One Redis hash. If it is lost, idle times start again, and nothing ends early."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def read(self) -> dict[DeploymentId, IdleTime]:
        found: dict[DeploymentId, IdleTime] = {}
        for id_, value in self._redis.hgetall(IDLE).items():
            try:
                found[DeploymentId(id_.decode())] = _decode(value)
            except msgspec.MsgspecError:
                continue  # written by another version: its idle time starts again
        return found

    def write(self, times: Mapping[DeploymentId, IdleTime], gone: Collection[DeploymentId] = ()) -> None:
        if times:
            self._redis.hset(IDLE, mapping={id_: _encode(time) for id_, time in times.items()})
        if gone:
            self._redis.hdel(IDLE, *gone)
