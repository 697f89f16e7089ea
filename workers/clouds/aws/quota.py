"""Checks before a launch call whether an account's quotas suffice for a machine."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from msgspec import Struct

from workers.clouds.driver import DriverError
from workers.placement.offer import Offer
from workers.placement.refusal_codes import QUOTA
from workers.placement.refusals import Refusal, Scope

CACHED_FOR = timedelta(minutes=10)

# Family or its first letter: codes of the on-demand and the spot quota, in vCPUs (Service Quotas, "Amazon EC2").
CODES = {
    "p5": ("L-417A185B", "L-C4BD4855"),
    "p6": ("L-417A185B", None),
    "p": ("L-417A185B", "L-7212CCBC"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
}
NAMES = {
    "L-417A185B": "Running On-Demand P instances",
    "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
    "L-C4BD4855": "All P5 Spot Instance Requests",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
}

logger = logging.getLogger(__name__)


class VcpuShortage(Struct, frozen=True, kw_only=True):
    """A quota that is too small for a machine."""

    quota: str
    limit: float
    needed: int
    region: str
    spot: bool

    @property
    def code(self) -> str:
        return "MaxSpotInstanceCountExceeded" if self.spot else "VcpuLimitExceeded"

    @property
    def sentence(self) -> str:
        """Cause and mend, without a full stop."""
        return (
            f'the quota "{NAMES[self.quota]}" in {self.region} is {self.limit:g} vCPUs, and this machine needs '
            f"{self.needed}. Request more at "
            f"https://{self.region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{self.quota}"
        )


def code_of(instance_type: str, *, spot: bool) -> str | None:
    """Code of the quota that a machine uses; None if unknown."""
    for family in (instance_type[:2], instance_type[:1]):
        if family in CODES:
            return CODES[family][spot]
    return None


def shortage(offer: Offer, limit: float | None) -> VcpuShortage | None:
    """Pure. None if the quota suffices, or if it is unknown and only the launch call can show whether it does."""
    code = code_of(offer.instance_type, spot=offer.spot)
    if code is None or limit is None or limit >= (offer.vcpus or 1):
        return None
    return VcpuShortage(quota=code, limit=limit, needed=offer.vcpus or 1, region=offer.region, spot=offer.spot)


def refusal(shortage: VcpuShortage, offers: tuple[Offer, ...]) -> Refusal:
    """Pure. A quota of 0 rules out the family in the region, a larger one only the given offers."""
    return Refusal(
        offers=offers,
        sentence=shortage.sentence,
        code=shortage.code,
        scope=Scope.ZONE if shortage.limit else Scope.REGION,
        lasts=QUOTA.lasts,
    )


class VcpuQuotas:
    """The account's quotas, cached for CACHED_FOR."""

    def __init__(self, read: Callable[[str, str], float]) -> None:
        """`read`: returns the quota of a region and code in vCPUs; raises DriverError."""
        self._read = read
        self._known: dict[tuple[str, str], tuple[float, float | None]] = {}
        self._lock = threading.Lock()

    def shortage(self, offer: Offer) -> VcpuShortage | None:
        """The quota that is too small for the offer, or None."""
        code = code_of(offer.instance_type, spot=offer.spot)
        return shortage(offer, self.limit(offer.region, code)) if code else None

    def sort(self, offers: Iterable[Offer]) -> tuple[tuple[Offer, ...], tuple[Refusal, ...]]:
        """The offers for which the quotas suffice, and the refusals of the others."""
        fitting: list[Offer] = []
        short: dict[VcpuShortage, list[Offer]] = {}
        for offer in offers:
            shortage = self.shortage(offer)
            (fitting if shortage is None else short.setdefault(shortage, [])).append(offer)
        return tuple(fitting), tuple(refusal(shortage, tuple(about)) for shortage, about in short.items())

    def limit(self, region: str, code: str) -> float | None:
        """The quota in vCPUs; None if unknown, for example if the credentials may not read it."""
        with self._lock:
            at, limit = self._known.get((region, code), (float("-inf"), None))
            if time.monotonic() - at < CACHED_FOR.total_seconds():
                return limit
        try:
            limit = self._read(region, code)
        except DriverError as error:
            logger.info("the quota %s in %s is unknown: %s", code, region, error)
            limit = None
        with self._lock:
            self._known[region, code] = (time.monotonic(), limit)
        return limit
