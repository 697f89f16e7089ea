"""Sources of prices: gpuhunt's catalogue, and the price lists, spot prices and zones of AWS and GCP."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from workers.clouds.aws import quotes as aws
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.driver import Driver, DriverError
from workers.clouds.gcp import quotes as gcp
from workers.clouds.gcp.driver import GcpDriver
from workers.clouds.usability import statuses
from workers.placement.doubts import Row
from workers.placement.offer import CloudStatus
from workers.placement.prices import Quote, Reading, read_quote
from workers.placement.unpriced import TYPES

GPUHUNT = "gpuhunt"
SDK_MEND = "install it with `pip install gpuhunt`"

ON_DEMAND = (GPUHUNT, aws.PRICE_LIST, gcp.SOURCE)
"""Sources of on-demand prices in ascending precedence: the price of a later one is used."""

Source = Callable[[], Reading]
"""Raises DriverError if nothing can be read."""


def sources(environ: Mapping[str, str], table: Sequence[Row]) -> dict[str, Source]:
    """The available sources, by name: gpuhunt, and those of clouds with credentials for the table's machines."""
    clouds = [cloud for cloud, status in rented(environ).items() if status.usable]
    found: dict[str, Source] = {GPUHUNT: gpuhunt} if find_spec(GPUHUNT) else {}
    if "aws" in clouds:
        api, types, regions = AwsClient(environ), _types(table), _regions(table)
        found[aws.PRICE_LIST] = partial(aws.aws_on_demand, api, types)
        found[aws.SPOT_PRICES] = partial(aws.aws_spot, api, types, regions)
        found[aws.ZONES] = partial(aws.aws_zones, api, types, regions)
    if "gcp" in clouds:
        found[gcp.SOURCE] = partial(gcp.gcp_prices, GcpDriver(environ).api)
        found[gcp.ZONES] = partial(gcp.gcp_zones, GcpDriver(environ).api)
    return found


def rented(environ: Mapping[str, str]) -> dict[str, CloudStatus]:
    """Whether there are credentials for AWS and for GCP, without network access."""
    drivers: dict[str, Callable[[Mapping[str, str]], Driver]] = {"aws": AwsDriver, "gcp": GcpDriver}
    known = statuses(environ, drivers=drivers.keys())
    # A driver may find credentials outside of files and variables, for example on a machine of the cloud.
    return {cloud: known[cloud] if known[cloud].usable else make(environ).status() for cloud, make in drivers.items()}


def gpuhunt() -> Reading:
    """On-demand prices of AWS and GCP from gpuhunt's catalogue, which is updated daily. Raises DriverError."""
    try:
        catalog: Any = import_module(GPUHUNT).Catalog(auto_reload=False)  # an optional extra
    except ImportError as error:
        raise DriverError(f"gpuhunt is not installed: {SDK_MEND}") from error
    logging.getLogger(GPUHUNT).setLevel(logging.CRITICAL)  # it logs the tracebacks of errors that it raises
    try:
        catalog.load()
        items = catalog.query(provider=["aws", "gcp"], spot=False, min_gpu_count=1)
    except Exception as error:
        # Its errors have no base class: it raises those of urllib, zipfile and csv.
        raise DriverError(f"gpuhunt's catalogue cannot be reached: {' '.join(str(error).split())}") from error
    return Reading(quotes=tuple(_of_gpuhunt(item) for item in items))


def _of_gpuhunt(item: Any) -> Quote:
    place = str(item.location)
    zonal = item.provider == "gcp" and place.count("-") > 1
    return read_quote(
        cloud=str(item.provider),
        instance_type=str(item.instance_name),
        region=place.rpartition("-")[0] if zonal else place,
        zone=place if zonal else "",
        price=str(item.price),
        source=GPUHUNT,
    )


def _types(table: Iterable[Row]) -> list[str]:
    found = [row.instance_type for row in table if row.cloud == "aws" and row.accelerator]
    return sorted({*found, *(one[1] for one in TYPES if one[0] == "aws")})


def _regions(table: Iterable[Row]) -> list[str]:
    return sorted({row.region for row in table if row.cloud == "aws"})
