"""Where prices come from: gpuhunt's catalogue, AWS's own price list, and what spot machines cost at this moment."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from importlib import import_module
from typing import Any

from workers.clouds.aws.client import HOME_REGION, Api
from workers.clouds.aws.errors import AwsSaid
from workers.clouds.aws.findings import DENIED
from workers.clouds.driver import DriverError
from workers.placement.catalog import Row
from workers.placement.prices import Quote
from workers.placement.unpriced import TYPES

LINUX = "Linux/UNIX"
ON_DEMAND = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
SDK_MEND = "install it with `pip install gpuhunt`"

Source = Callable[[], list[Quote]]
"""Raises DriverError where it has no answer."""


def sources(environ: Mapping[str, str], table: Sequence[Row], *, aws: bool) -> dict[str, Source]:
    """Who can be asked, by name; `aws`: whether there are credentials for it."""
    found: dict[str, Source] = {"gpuhunt": gpuhunt}
    api = Api(environ)
    if aws:
        found["AWS's price list"] = partial(aws_on_demand, api, _types(table))
        found["AWS's spot prices"] = partial(aws_spot, api, _types(table), _regions(table))
    return found


def gpuhunt() -> list[Quote]:
    """On-demand prices of AWS and GCP from gpuhunt's catalogue, which is collected every day. Raises DriverError."""
    try:
        catalog: Any = import_module("gpuhunt").Catalog(auto_reload=False)  # an optional extra
    except ImportError as error:
        raise DriverError(f"gpuhunt is not installed: {SDK_MEND}") from error
    logging.getLogger("gpuhunt").setLevel(logging.CRITICAL)  # it logs tracebacks of what it raises anyway
    try:
        catalog.load()
        items = catalog.query(provider=["aws", "gcp"], spot=False, min_gpu_count=1)
    except Exception as error:
        # Its errors have no base class: it lets those of urllib, zipfile and csv through.
        raise DriverError(f"gpuhunt's catalogue cannot be reached: {' '.join(str(error).split())}") from error
    return [quote for item in items if (quote := _of_gpuhunt(item))]


def _of_gpuhunt(item: Any) -> Quote | None:
    place = str(item.location)
    zonal = item.provider == "gcp" and place.count("-") > 1
    return _quote(
        cloud=str(item.provider),
        instance_type=str(item.instance_name),
        region=place.rpartition("-")[0] if zonal else place,
        zone=place if zonal else "",
        price=str(item.price),
        source="gpuhunt",
    )


def aws_on_demand(api: Api, types: Iterable[str]) -> list[Quote]:
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
                    yield _quote(
                        cloud="aws", instance_type=type_, region=region, zone="", price=price, source="AWS's price list"
                    )
    except (ValueError, KeyError, TypeError, AttributeError):
        yield _quote(cloud="aws", instance_type=type_, region="", zone="", price="NaN", source="AWS's price list")


def aws_spot(api: Api, types: Sequence[str], regions: Iterable[str]) -> list[Quote]:
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
            _quote(
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


def _quote(
    *, cloud: str, instance_type: str, region: str, zone: str, price: str, source: str, spot: bool = False
) -> Quote:
    try:
        usd = Decimal(price).normalize()
    except InvalidOperation:
        usd = Decimal("NaN")
    return Quote(
        cloud=cloud,
        instance_type=instance_type,
        region=region,
        zone=zone,
        spot=spot,
        usd_per_hour=usd,
        source=source,
    )


def _types(table: Iterable[Row]) -> list[str]:
    found = [row.instance_type for row in table if row.cloud == "aws" and row.accelerator]
    return sorted({*found, *(one[1] for one in TYPES if one[0] == "aws")})


def _regions(table: Iterable[Row]) -> list[str]:
    return sorted({row.region for row in table if row.cloud == "aws"})
