"""The instance types of the EC2 stand-in, with zones and prices: the price table, and moto's data for other types."""

from collections.abc import Iterator
from decimal import Decimal

from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES

from workers.placement import catalog
from workers.placement.offer import Offer


class Catalog:
    """The price table by instance type and zone id."""

    def __init__(self, offers: tuple[Offer, ...] | None = None) -> None:
        table = catalog.load() if offers is None else offers
        sold = [offer for offer in table if offer.cloud == "aws" and offer.zone]
        self._prices = {(o.instance_type, o.zone, o.spot): o.usd_per_hour for o in sold}
        self._regions = {offer.zone: offer.region for offer in sold}
        self._listed = {offer.instance_type for offer in sold}

    def price(self, type_: str, zone: str, *, spot: bool) -> Decimal | None:
        return self._prices.get((type_, zone, spot))

    def prices(self, type_: str) -> dict[str, Decimal]:
        """On-demand price by region."""
        found = {zone: price for (name, zone, spot), price in self._prices.items() if name == type_ and not spot}
        return {self._regions[zone]: price for zone, price in found.items() if price is not None}

    def spot_prices(self, region: str) -> Iterator[tuple[str, str, Decimal]]:
        """Yield type, zone id and price in USD per hour."""
        for (type_, zone, spot), price in self._prices.items():
            if spot and price is not None and self._regions[zone] == region:
                yield type_, zone, price

    def sells(self, type_: str, region: str, zone: str) -> bool:
        if type_ in self._listed:
            return (type_, zone, False) in self._prices
        return any(
            offering["InstanceType"] == type_ and offering["Location"] == zone
            for offering in INSTANCE_TYPE_OFFERINGS["availability-zone-id"].get(region, ())
        )

    def zones_of(self, type_: str, region: str) -> list[str]:
        return [zone for zone in zones(region).values() if self.sells(type_, region, zone)]

    def types(self, region: str) -> set[str]:
        """The instance types that the price table has in the region."""
        return {type_ for type_, zone, _ in self._prices if self._regions[zone] == region}


def zones(region: str) -> dict[str, str]:
    """Zone id by name, for the zones that are enabled by default."""
    return {zone.name: zone.zone_id for zone in RegionsAndZonesBackend.zones.get(region, ())}


def vcpus(type_: str) -> int:
    found = INSTANCE_TYPES.get(type_, {}).get("VCpuInfo", {}).get("DefaultVCpus", 0)
    return int(found)
