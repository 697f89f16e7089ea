"""What AWS's own price list says, and what its spot machines cost at this moment."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from workers.clouds.aws.client import HOME_REGION, AwsClient
from workers.clouds.aws.errors import AwsSaid
from workers.clouds.aws.findings import DENIED
from workers.clouds.driver import DriverError
from workers.placement.prices import Quote, read_quote

LINUX = "Linux/UNIX"
ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}


def aws_on_demand(api: AwsClient, types: Iterable[str]) -> list[Quote]:
    """From the price list that AWS keeps in us-east-1, a type at a time. Raises DriverError."""

    def of(type_: str) -> list[Quote]:
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in (ON_DEMAND | {"instanceType": type_}).items()
        ]
        asked: dict[str, Any] = {"ServiceCode": "AmazonEC2", "Filters": filters}
        found: list[Quote] = []
        while True:
            try:
                page = api.call("pricing", HOME_REGION, "get_products", **asked)
            except AwsSaid as said:
                if said.code not in DENIED:
                    raise
                raise DriverError(
                    "AWS's price list: the credentials do not allow it. Allow them pricing:GetProducts"
                ) from said
            found += (quote for entry in page["PriceList"] for quote in _of_price_list(entry, type_))
            if not page.get("NextToken"):
                return found
            asked["NextToken"] = page["NextToken"]

    return [quote for quotes in api.everywhere(types, of).values() for quote in quotes]


def _of_price_list(entry: Any, type_: str) -> Iterator[Quote]:
    """A product's JSON: usually one term with one dimension; anything else is no price per hour."""
    try:
        product = json.loads(entry) if isinstance(entry, str) else entry
        region = str(product["product"]["attributes"].get("regionCode", ""))
        for term in product["terms"]["OnDemand"].values():
            for dimension in term["priceDimensions"].values():
                if dimension["unit"] == "Hrs":
                    price = str(dimension["pricePerUnit"]["USD"])
                    yield read_quote(
                        cloud="aws", instance_type=type_, region=region, zone="", price=price, source="AWS's price list"
                    )
    except (ValueError, KeyError, TypeError, AttributeError):
        yield read_quote(cloud="aws", instance_type=type_, region="", zone="", price="NaN", source="AWS's price list")


def aws_spot(api: AwsClient, types: Sequence[str], regions: Iterable[str]) -> list[Quote]:
    """What spot machines cost at this moment, zone by zone. Regions that are not enabled are left out.

    Raises DriverError.
    """
    enabled = api.regions()

    def of(region: str) -> list[Quote]:
        zones = api.call("ec2", region, "describe_availability_zones")["AvailabilityZones"]
        ids = {zone["ZoneName"]: zone["ZoneId"] for zone in zones}
        asked = {"InstanceTypes": list(types), "ProductDescriptions": [LINUX], "StartTime": datetime.now(UTC)}
        history = api.pages(region, "describe_spot_price_history", "SpotPriceHistory", **asked)
        newest = {(h["AvailabilityZone"], h["InstanceType"]): h for h in sorted(history, key=lambda h: h["Timestamp"])}
        return [
            read_quote(
                cloud="aws",
                instance_type=type_,
                region=region,
                zone=ids[zone],
                price=str(found["SpotPrice"]),
                source="AWS's spot prices",
                spot=True,
            )
            for (zone, type_), found in newest.items()
            if zone in ids
        ]

    found = api.everywhere([region for region in regions if region in enabled], of)
    return [quote for quotes in found.values() for quote in quotes]
