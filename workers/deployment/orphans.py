"""Machines of this installation that run and that no log knows, as the last lists of the clouds contained them."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from workers.machines import Machine

ORPHANS = "mixtral:orphans"

RECORDED_EVERY = timedelta(minutes=1)
"""Interval at which it is recorded that an orphan still runs."""

SEEN_WITHIN = timedelta(minutes=12)
"""Age from which an orphan counts as ended: whole clouds are listed every 5 minutes."""


class Orphan(Struct, frozen=True, kw_only=True):
    """One machine."""

    id: str
    """The cloud's id of the machine."""
    cloud: str
    place: str
    """Its zone or region."""
    instance_type: str
    usd_per_hour: Decimal | None
    """None if the price is not known."""
    deployment: str
    """The id in its tags."""
    created_at: datetime
    seen_at: datetime

    @property
    def key(self) -> str:
        return f"{self.cloud} {self.place} {self.id}"


class Orphans:
    """Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def note(self, orphan: Orphan) -> None:
        self._redis.hset(ORPHANS, orphan.key, msgspec.json.encode(orphan))

    def running(self, now: datetime) -> list[Orphan]:
        """Those that were seen within SEEN_WITHIN, dearest first. The others are removed."""
        found: dict[str, Orphan] = {}
        for key, value in self._redis.hgetall(ORPHANS).items():
            try:
                found[key.decode()] = msgspec.json.decode(value, type=Orphan)
            except msgspec.MsgspecError:  # a newer version wrote it
                continue
        over = [key for key, orphan in found.items() if now - orphan.seen_at > SEEN_WITHIN]
        if over:
            self._redis.hdel(ORPHANS, *over)
        there = [orphan for key, orphan in found.items() if key not in over]
        return sorted(there, key=lambda one: (-(one.usd_per_hour or Decimal(0)), one.key))

    def forget(self, machine: Machine) -> None:
        """The machine has ended."""
        place = machine.offer.zone or machine.offer.region
        self._redis.hdel(ORPHANS, f"{machine.cloud} {place} {machine.id}")
