"""Compute Engine's part of the Cloud Billing catalogue: core, memory, GPU and local SSD have prices of their own."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from workers.placement.offer import Offer
from workers.sandbox.gce.catalog import Catalog
from workers.sandbox.gce.operations import Json

# Machine family, name of the host and of the GPU, and GiB of local SSD of each GPU.
FAMILIES = (
    ("a2-highgpu", "A2", "Nvidia Tesla A100 GPU", 0),
    ("a2-ultragpu", "A2", "Nvidia Tesla A100 80GB GPU", 375),
    ("a3-highgpu", "A3", "Nvidia H100 80GB GPU", 750),
    ("g2-standard", "G2", "Nvidia L4 GPU", 0),
    ("g4-standard", "G4", "RTX 6000 96GB", 0),
)
CORE, MEMORY, SSD = Decimal("0.02"), Decimal("0.002"), Decimal("0.08")
"""USD per vCPU and hour, per GiB and hour, and per GiB and month, on demand."""
SPOT = Decimal("0.4")
"""Spot prices of these parts are this share of them."""
HOURS = 730  # of a month


def skus(catalog: Catalog) -> list[Json]:
    """SKUs from which the price of each machine type in the table follows, and some that a reader must leave out."""
    by_region: dict[str, dict[str, Offer]] = defaultdict(dict)
    for (zone, type_), offer in catalog.types.items():
        by_region[catalog.zones[zone]][type_] = offer
    return [one for region in sorted(by_region) for one in _of_region(region, by_region[region])]


def _of_region(region: str, types: dict[str, Offer]) -> Iterator[Json]:
    yield sku(f"N2 Instance Core running in {region}", CORE, region)
    for spot, prefix, attached in ((False, "", ""), (True, "Spot Preemptible ", " attached to Spot Preemptible VMs")):
        disk = SSD * (SPOT if spot else 1)
        yield sku(f"SSD backed Local Storage{attached} in {region}", disk, region, "GiBy.mo", spot=spot)
        for host in dict.fromkeys(host for _, host, _, _ in FAMILIES):
            core, memory = _host(host, types, spot=spot)
            yield sku(f"{prefix}{host} Instance Core running in {region}", core, region, spot=spot)
            yield sku(f"{prefix}{host} Instance Ram running in {region}", memory, region, "GiBy.h", spot=spot)
            for family, its_host, gpu, gib in FAMILIES:
                prices = [(o, usd) for type_, o in types.items() if family in type_ and (usd := _price(o, spot=spot))]
                if its_host == host and prices:
                    largest, usd = max(prices, key=lambda one: one[0].count)
                    rest = core * (largest.vcpus or 0) + memory * (largest.memory_gib or 0)
                    rest += disk * gib * largest.count / HOURS
                    each = (usd - rest) / largest.count
                    yield sku(f"{gpu}{attached} running in {region}", each, region, spot=spot)
                    yield sku(f"{gpu} attached to DWS Defined Duration VMs running in {region}", each / 2, region)
                    yield sku(f"Commitment v1: {gpu} in {region} for 1 Year", each / 2, region, usage="Commit1Yr")


def _host(host: str, types: dict[str, Offer], *, spot: bool) -> tuple[Decimal, Decimal]:
    """USD of a vCPU and of a GiB. Only G2 has types that differ in vCPUs per GPU, from which they follow."""
    small, large = (types.get(f"g2-standard-{vcpus}") for vcpus in (4, 96))
    if host == "G2" and small and large:
        prices = _price(small, spot=spot), _price(large, spot=spot)
        if prices[0] is not None and prices[1] is not None:
            with_memory = (prices[1] - 8 * prices[0]) / (96 - 8 * 4)
            return with_memory * Decimal("0.6"), with_memory / 10
    share = SPOT if spot else Decimal(1)
    return CORE * share, MEMORY * share


def _price(offer: Offer, *, spot: bool) -> Decimal | None:
    if spot:
        return offer.usd_per_hour if offer.spot else None
    return offer.on_demand_usd_per_hour if offer.spot else offer.usd_per_hour


def sku(
    description: str, usd: Decimal, region: str, unit: str = "h", *, spot: bool = False, usage: str = "OnDemand"
) -> Json:
    """One SKU, with a price in whole USD and nanos."""
    units, rest = divmod(round(usd, 9), 1)
    price = {"currencyCode": "USD", "units": f"{units:f}", "nanos": int(rest * 10**9)}
    expression = {"usageUnit": unit, "tieredRates": [{"startUsageAmount": 0, "unitPrice": price}]}
    return {
        "description": description,
        "category": {"serviceDisplayName": "Compute Engine", "usageType": "Preemptible" if spot else usage},
        "serviceRegions": [region],
        "pricingInfo": [{"effectiveTime": "2026-11-01T00:00:00Z", "pricingExpression": expression}],
    }
