"""Checks before a launch call whether a project's quotas suffice for a machine."""

import time
from datetime import timedelta
from typing import Any

from msgspec import Struct

from workers.clouds.gcp.client import GcpClient
from workers.placement.offer import Offer

CACHED_FOR = timedelta(minutes=10)
USAGE_CACHED_FOR = timedelta(seconds=20)
"""Time for which usage is cached. Shorter than for limits, because usage changes with each machine."""

GLOBAL = "GPUS_ALL_REGIONS"
METRICS = {
    "A100": "NVIDIA_A100_GPUS",
    "A100-80GB": "NVIDIA_A100_80GB_GPUS",
    "L4": "NVIDIA_L4_GPUS",
    "H100": "NVIDIA_H100_GPUS",
    "H200": "NVIDIA_H200_GPUS",
}


class Quota(Struct, frozen=True):
    """One limit of a project, and its usage."""

    metric: str
    limit: float
    usage: float


class GpuShortage(Struct, frozen=True):
    """A quota that is too small for a machine."""

    quota: Quota
    needed: int
    place: str

    @property
    def code(self) -> str:
        return GLOBAL if self.quota.metric == GLOBAL else "QUOTA_EXCEEDED"

    @property
    def text(self) -> str:
        used = f", {self.quota.usage:g} of it in use" if self.quota.usage else ""
        return (
            f"{self.quota.metric} is {self.quota.limit:g}{used} in {self.place}, and this machine needs {self.needed}"
        )


def metric_of(offer: Offer) -> str | None:
    """The region's quota that the machine uses; None if unknown."""
    metric = METRICS.get(offer.accelerator or "")
    return f"PREEMPTIBLE_{metric}" if metric and offer.spot else metric


def shortage(offer: Offer, region: dict[str, Quota], project: dict[str, Quota]) -> GpuShortage | None:
    """Pure. None if the quotas suffice, or if they are unknown and only the launch call can show whether they do."""
    lacking = _lacking(region.get(metric_of(offer) or ""), offer, offer.region)
    # Spot machines do not count against the quota for all regions.
    return lacking or (None if offer.spot else _lacking(project.get(GLOBAL), offer, "the whole project"))


def _lacking(quota: Quota | None, offer: Offer, place: str) -> GpuShortage | None:
    if quota is None or quota.limit < 0 or quota.limit - quota.usage >= offer.count:
        return None
    return GpuShortage(quota, offer.count, place)


class GpuQuotas:
    """The project's quotas, cached."""

    def __init__(self, api: GcpClient) -> None:
        self._api = api
        self._read: dict[str, tuple[float, dict[str, Quota]]] = {}

    def shortage(self, offer: Offer) -> GpuShortage | None:
        """The quota that is too small for the offer, or None. Raises GcpError, DriverError."""
        if not offer.count:
            return None
        found = shortage(offer, *self._of(offer, CACHED_FOR))
        if found is None or found.quota.limit < found.needed:
            return found
        return shortage(offer, *self._of(offer, USAGE_CACHED_FOR))

    def _of(self, offer: Offer, max_age: timedelta) -> tuple[dict[str, Quota], dict[str, Quota]]:
        return self._region(offer.region, max_age), self._project(max_age)

    def _region(self, region: str, max_age: timedelta) -> dict[str, Quota]:
        return self._fresh(region, max_age) or self._keep(region, self._api.call("RegionsClient", "get", region=region))

    def _project(self, max_age: timedelta) -> dict[str, Quota]:
        return self._fresh("", max_age) or self._keep("", self._api.call("ProjectsClient", "get"))

    def _fresh(self, place: str, max_age: timedelta) -> dict[str, Quota] | None:
        at, quotas = self._read.get(place, (0.0, {}))
        return quotas if quotas and time.monotonic() - at < max_age.total_seconds() else None

    def _keep(self, place: str, answer: Any) -> dict[str, Quota]:
        quotas = {q.metric: Quota(q.metric, q.limit, q.usage) for q in answer.quotas}
        self._read[place] = (time.monotonic(), quotas)
        return quotas
