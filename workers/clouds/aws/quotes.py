"""Prices from AWS: the price list, and current spot prices."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from workers.clouds.aws.client import HOME_REGION, AwsClient
from workers.clouds.aws.errors import AwsError
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
    """On-demand prices from AWS's price list in us-east-1, one call for each type. Raises DriverError."""

    def of(type_: str) -> list[Quote]:
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in (ON_DEMAND | {"instanceType": type_}).items()
        ]
        fields: dict[str, Any] = {"ServiceCode": "AmazonEC2", "Filters": filters}
        found: list[Quote] = []
        while True:
            try:
                page = api.call("pricing", HOME_REGION, "get_products", **fields)
            except AwsError as error:
                if error.code not in DENIED:
                    raise
                raise DriverError(
                    "AWS's price list: the credentials lack a permission. Grant pricing:GetProducts"
                ) from error
            found += (quote for entry in page["PriceList"] for quote in _of_price_list(entry, type_))
            if not page.get("NextToken"):
                return found
            fields["NextToken"] = page["NextToken"]

    return [quote for quotes in api.everywhere(types, of).values() for quote in quotes]


def _of_price_list(entry: Any, type_: str) -> Iterator[Quote]:
    """The hourly prices in a product's JSON; a quote of NaN if it cannot be parsed."""
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
    """Current spot prices of each zone, without regions that are not enabled.

    Raises DriverError.
    """
    enabled = api.regions()

    def of(region: str) -> list[Quote]:
        zones = api.call("ec2", region, "describe_availability_zones")["AvailabilityZones"]
        ids = {zone["ZoneName"]: zone["ZoneId"] for zone in zones}
        fields = {"InstanceTypes": list(types), "ProductDescriptions": [LINUX], "StartTime": datetime.now(UTC)}
        history = api.pages(region, "describe_spot_price_history", "SpotPriceHistory", **fields)
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
