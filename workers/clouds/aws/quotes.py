"""Prices from AWS: the price list, current spot prices, and the zones that have a machine type."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from workers.clouds.aws.client import HOME_REGION, AwsClient
from workers.clouds.aws.errors import AwsError
from workers.clouds.aws.findings import DENIED
from workers.clouds.driver import DriverError
from workers.placement.prices import Quote, Reading, read_quote

PRICE_LIST, SPOT_PRICES, ZONES = "AWS's price list", "AWS's spot prices", "AWS's zones"
ZONE = re.compile(r"[a-z]+\d+-az\d+")  # not the id of a local zone, such as usw2-lax1-az1
T = TypeVar("T")

LINUX = "Linux/UNIX"
ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}


def aws_on_demand(api: AwsClient, types: Iterable[str]) -> Reading:
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

    found, failed = _each(api, PRICE_LIST, types, of)
    return Reading(quotes=tuple(quote for quotes in found.values() for quote in quotes), failed=failed)


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
                        cloud="aws", instance_type=type_, region=region, zone="", price=price, source=PRICE_LIST
                    )
    except (ValueError, KeyError, TypeError, AttributeError):
        yield read_quote(cloud="aws", instance_type=type_, region="", zone="", price="NaN", source=PRICE_LIST)


def aws_spot(api: AwsClient, types: Sequence[str], regions: Iterable[str]) -> Reading:
    """Current spot prices of each zone, without regions that are not enabled. Raises DriverError."""

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
                source=SPOT_PRICES,
                spot=True,
            )
            for (zone, type_), found in newest.items()
            if ZONE.fullmatch(ids.get(zone, ""))
        ]

    found, failed = _each(api, SPOT_PRICES, [region for region in regions if region in api.regions()], of)
    return Reading(quotes=tuple(quote for quotes in found.values() for quote in quotes), failed=failed)


def aws_zones(api: AwsClient, types: Sequence[str], regions: Iterable[str]) -> Reading:
    """The zones that have each machine type, without local zones. Raises DriverError."""

    def of(region: str) -> frozenset[tuple[str, str]]:
        fields = {
            "LocationType": "availability-zone-id",
            "Filters": [{"Name": "instance-type", "Values": list(types)}],
        }
        there = api.pages(region, "describe_instance_type_offerings", "InstanceTypeOfferings", **fields)
        return frozenset((o["Location"], o["InstanceType"]) for o in there if ZONE.fullmatch(o["Location"]))

    found, failed = _each(api, ZONES, [region for region in regions if region in api.regions()], of)
    return Reading(sold={("aws", region): there for region, there in found.items() if there}, failed=failed)


def _each(
    api: AwsClient, source: str, names: Iterable[str], of: Callable[[str], T]
) -> tuple[dict[str, T], tuple[str, ...]]:
    """The answers by name, and a sentence for each name without one. Raises the first error if there is no answer."""

    def tried(name: str) -> T | DriverError:
        try:
            return of(name)
        except DriverError as error:
            return error

    answers = api.everywhere(names, tried)
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, DriverError)}
    found = {name: answer for name, answer in answers.items() if not isinstance(answer, DriverError)}
    if errors and not found:
        raise next(iter(errors.values()))
    return found, tuple(f"{source}, {name}: {error}" for name, error in errors.items())
