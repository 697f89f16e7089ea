"""Records machines that no log contains, with their prices, for the bot and the command line to report."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from redis import Redis

from workers.deployment.orphans import RECORDED_EVERY, Orphan, Orphans
from workers.errors import WorkersError
from workers.machines import Sighting, Token
from workers.placement.in_use import in_use
from workers.placement.offer import Offer
from workers.placement.shared_prices import reader


class OrphanRecord:
    """Neither ends a machine nor extends its lease. Raises RedisError."""

    def __init__(self, redis: Redis, environ: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        self._orphans, self._prices = Orphans(redis), reader(redis)
        self._environ, self._now = environ, clock
        self._noted: dict[Token, datetime] = {}

    def note(self, sighting: Sighting) -> None:
        """Record that the machine runs, at most every RECORDED_EVERY."""
        now, machine = self._now(), sighting.machine
        self._noted = {token: at for token, at in self._noted.items() if abs(now - at) < RECORDED_EVERY}
        if machine.token in self._noted:
            return
        offer = machine.offer
        orphan = Orphan(
            id=machine.id,
            cloud=machine.cloud,
            place=offer.zone or offer.region,
            instance_type=offer.instance_type,
            usd_per_hour=offer.usd_per_hour if offer.usd_per_hour is not None else self._price(offer),
            deployment=sighting.deployment,
            created_at=machine.created_at,
            seen_at=now,
        )
        self._orphans.note(orphan)
        self._noted[machine.token] = now

    def _price(self, offer: Offer) -> Decimal | None:
        try:
            offers = in_use(self._environ, self._prices).offers
        except WorkersError:
            return None
        wanted = (offer.cloud, offer.zone, offer.instance_type, offer.spot)
        same = (o.usd_per_hour for o in offers if (o.cloud, o.zone, o.instance_type, o.spot) == wanted)
        return next(same, None)
