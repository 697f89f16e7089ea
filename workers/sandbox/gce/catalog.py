"""What the GCE stand-in sells: the zones, machine types and GPUs of the price table, and the quotas for them."""

from fractions import Fraction

from workers.clouds.gcp.quota import GLOBAL, METRICS
from workers.placement import catalog
from workers.placement.offer import Offer

PLENTY = 1024


class Catalog:
    """The price table by zone, and how many GPUs a project may have of each kind."""

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
        """Which quota a machine counts against, and how much of it; `("", 0)` without GPUs."""
        offer = self.types.get((zone, machine_type))
        metric = METRICS.get(offer.accelerator or "", "") if offer else ""
        return (metric, offer.count) if offer and metric else ("", 0)

    def limit(self, place: str, metric: str) -> float:
        """`place` is a region, or `global`."""
        return self._limits.get((place, metric), self._limits.get(("*", metric), PLENTY))

    def set_limit(self, place: str, metric: str, limit: float) -> None:
        self._limits[place, metric] = limit

    def quotas(self, place: str, used: dict[tuple[str, str], int]) -> list[dict[str, object]]:
        """As `regions.get` and `projects.get` list them; `used` is by place and metric."""
        metrics = [GLOBAL] if place == "global" else [p + m for m in METRICS.values() for p in ("", "PREEMPTIBLE_")]
        return [{"metric": m, "limit": self.limit(place, m), "usage": used.get((place, m), 0)} for m in metrics]

    def described(self, zone: str, machine_type: str) -> dict[str, object]:
        """As `machineTypes.get` tells it."""
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
