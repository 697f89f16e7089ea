"""AWS's price list: `GetProducts` of the stand-in's instance types, in pages, one product for each region."""

import json
from typing import Any

from workers.sandbox.ec2.catalog import Catalog

PAGE = 5  # products, fewer than AWS's 100, so that there are several pages


def products(catalog: Catalog, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to `GetProducts`. The filters beside that of the instance type leave one product per region."""
    filters = {one["Field"]: one["Value"] for one in asked["Filters"]}
    sold = sorted(catalog.prices(filters["instanceType"]).items())
    begin = int(asked.get("NextToken") or 0)
    entries = [_product(filters["instanceType"], region, f"{price:f}") for region, price in sold[begin : begin + PAGE]]
    more = {"NextToken": str(begin + PAGE)} if begin + PAGE < len(sold) else {}
    return {"FormatVersion": "aws_v1", "PriceList": entries} | more


def _product(type_: str, region: str, price: str) -> str:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": price}, "beginRange": "0", "endRange": "Inf"}
    term = {"offerTermCode": "JRTCKXETXF", "priceDimensions": {"D": dimension}}
    product = {"productFamily": "Compute Instance", "attributes": {"instanceType": type_, "regionCode": region}}
    return json.dumps({"product": product, "serviceCode": "AmazonEC2", "terms": {"OnDemand": {"T": term}}})
