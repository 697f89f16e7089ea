"""Sources of prices: gpuhunt's catalogue, AWS's price list, and AWS's current spot prices."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.quotes import aws_on_demand, aws_spot
from workers.clouds.driver import DriverError
from workers.placement.doubts import Row
from workers.placement.prices import Quote, read_quote
from workers.placement.unpriced import TYPES

SDK_MEND = "install it with `pip install gpuhunt`"

Source = Callable[[], list[Quote]]
"""Raises DriverError if the prices cannot be read."""


def sources(environ: Mapping[str, str], table: Sequence[Row], *, aws: bool) -> dict[str, Source]:
    """The available sources, by name. `aws`: whether there are credentials for AWS."""
    found: dict[str, Source] = {"gpuhunt": gpuhunt}
    api = AwsClient(environ)
    if aws:
        found["AWS's price list"] = partial(aws_on_demand, api, _types(table))
        found["AWS's spot prices"] = partial(aws_spot, api, _types(table), _regions(table))
    return found


def gpuhunt() -> list[Quote]:
    """On-demand prices of AWS and GCP from gpuhunt's catalogue, which is updated daily. Raises DriverError."""
    try:
        catalog: Any = import_module("gpuhunt").Catalog(auto_reload=False)  # an optional extra
    except ImportError as error:
        raise DriverError(f"gpuhunt is not installed: {SDK_MEND}") from error
    logging.getLogger("gpuhunt").setLevel(logging.CRITICAL)  # it logs the tracebacks of errors that it raises
    try:
        catalog.load()
        items = catalog.query(provider=["aws", "gcp"], spot=False, min_gpu_count=1)
    except Exception as error:
        # Its errors have no base class: it raises those of urllib, zipfile and csv.
        raise DriverError(f"gpuhunt's catalogue cannot be reached: {' '.join(str(error).split())}") from error
    return [quote for item in items if (quote := _of_gpuhunt(item))]


def _of_gpuhunt(item: Any) -> Quote | None:
    place = str(item.location)
    zonal = item.provider == "gcp" and place.count("-") > 1
    return read_quote(
        cloud=str(item.provider),
        instance_type=str(item.instance_name),
        region=place.rpartition("-")[0] if zonal else place,
        zone=place if zonal else "",
        price=str(item.price),
        source="gpuhunt",
    )


def _types(table: Iterable[Row]) -> list[str]:
    found = [row.instance_type for row in table if row.cloud == "aws" and row.accelerator]
    return sorted({*found, *(one[1] for one in TYPES if one[0] == "aws")})


def _regions(table: Iterable[Row]) -> list[str]:
    return sorted({row.region for row in table if row.cloud == "aws"})
