"""The zones, machine types and GPUs of the GCE stand-in, from the price table, and their quotas."""

from fractions import Fraction

from workers.clouds.gcp.quota import GLOBAL, METRICS
from workers.placement import catalog
from workers.placement.offer import Offer

DEFAULT_LIMIT = 1024  # GPUs, for quotas that were not set
OF_NO_GPU = ("IN_USE_ADDRESSES", "SSD_TOTAL_GB")
"""Quotas of a region beside those for GPUs. They are reported; their usage is not counted."""


class Catalog:
    """The price table by zone, and the quota of each kind of GPU."""

    def __init__(self, offers: tuple[Offer, ...] | None = None) -> None:
        sold = [o for o in (offers or catalog.load()) if o.cloud == "gcp" and o.zone]
        self.types: dict[tuple[str, str], Offer] = {(o.zone, o.instance_type): o for o in sold}
        self.zones = {o.zone: o.region for o in sold}
        self._limits: dict[tuple[str, str], float] = {}

    @property
    def regions(self) -> list[str]:
        return sorted(set(self.zones.values()))

    def zones_of(self, region: str) -> list[str]:
        return sorted(zone for zone, its in self.zones.items() if its == region)

    def gpus(self, zone: str, machine_type: str) -> tuple[str, int]:
        """The quota's metric that a machine counts against, and its number of GPUs; `("", 0)` without GPUs."""
        offer = self.types.get((zone, machine_type))
        metric = METRICS.get(offer.accelerator or "", "") if offer else ""
        return (metric, offer.count) if offer and metric else ("", 0)

    def limit(self, place: str, metric: str) -> float:
        """The limit of a metric, in GPUs; `place` is a region or `global`."""
        return self._limits.get((place, metric), self._limits.get(("*", metric), DEFAULT_LIMIT))

    def set_limit(self, place: str, metric: str, limit: float) -> None:
        self._limits[place, metric] = limit

    def quotas(self, place: str, used: dict[tuple[str, str], int]) -> list[dict[str, object]]:
        """The quotas in the form of `regions.get` and `projects.get`; `used` is in GPUs by place and metric."""
        of_a_region = [p + m for m in METRICS.values() for p in ("", "PREEMPTIBLE_")] + list(OF_NO_GPU)
        metrics = [GLOBAL] if place == "global" else of_a_region
        return [{"metric": m, "limit": self.limit(place, m), "usage": used.get((place, m), 0)} for m in metrics]

    def described(self, zone: str, machine_type: str) -> dict[str, object]:
        """A machine type in the form of `machineTypes.get`."""
        offer = self.types[zone, machine_type]
        memory = int(Fraction(offer.memory_gib or 0) * 1024)
        gpu = {"guestAcceleratorType": f"nvidia-{offer.accelerator}".lower(), "guestAcceleratorCount": offer.count}
        return {
            "name": machine_type,
            "zone": zone,
            "guestCpus": offer.vcpus,
            "memoryMb": memory,
            "accelerators": [gpu] if offer.count else [],
        }
