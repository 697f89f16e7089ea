"""Prices from Google Cloud: the Cloud Billing catalogue, and the zones that have a machine type."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec
from msgspec import Struct

from workers.clouds.driver import DriverError
from workers.clouds.gcp.client import GcpClient
from workers.placement.catalog import MAX_PRICE
from workers.placement.prices import Quote, Reading
from workers.placement.unpriced import SPOT_ONLY, TYPES

SOURCE, ZONES = "GCP's price list", "GCP's zones"
CATALOGUE = "/v1/services/6F81-5844-456A/skus"  # of Compute Engine
PAGE = 5000  # SKUs, the maximum
MAX_PAGES = 100
BILLING, COMPUTE = "cloudbilling.googleapis.com", "compute.googleapis.com"
ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")

PRECISION = Decimal("0.0001")  # hundredths of a cent, as in the price table

ON_DEMAND, SPOT = "OnDemand", "Preemptible"
HOST = re.compile(r"(?P<spot>Spot Preemptible )?(?P<part>(A2|A3|G2|G4) Instance (Core|Ram)) running in .+")
GPU = re.compile(
    r"(Nvidia )?(Tesla )?(?P<part>A100 80GB|A100|H100 80GB|L4|RTX 6000 96GB)( GPU)?"
    r"(?P<spot> attached to Spot Preemptible VMs)? running in .+"
)
DISK = re.compile(r"(?P<part>SSD backed Local Storage)(?P<spot> attached to Spot Preemptible VMs)?( in .+)?")

UNITS = {
    "h": Decimal(1),
    "GiBy.h": Decimal(1),
    "GBy.h": Decimal(2**30) / 10**9,
    "GiBy.mo": 1 / Decimal(730),
}
"""Factor to USD per hour, and per GiB where the unit has one."""

FAMILIES = {
    "a2-highgpu": ("A2", "A100", 0),
    "a2-ultragpu": ("A2", "A100 80GB", 375),
    "a3-highgpu": ("A3", "H100 80GB", 750),
    "g2-standard": ("G2", "L4", 0),
    "g4-standard": ("G4", "RTX 6000 96GB", 0),
}
"""Name of the host and of the GPU in the catalogue, and GiB of local SSD that each GPU brings: host, GPUs and SSD are
billed separately. Source: descriptions of SKUs that public price collectors record. The other families have none."""

Rates = Mapping[tuple[str, bool], Mapping[str, frozenset[Decimal]]]
"""By region and whether spot: USD per hour of each part. More than one price of a part is a contradiction."""


class _Price(Struct, frozen=True, rename="camel"):
    currency_code: str = ""
    units: str | int = 0
    nanos: int = 0

    @property
    def is_free(self) -> bool:
        return str(self.units) == "0" and self.nanos == 0

    @property
    def usd(self) -> Decimal:
        return Decimal(self.units) + Decimal(self.nanos) / 10**9


class _Tier(Struct, frozen=True, rename="camel"):
    unit_price: _Price


class _Expression(Struct, frozen=True, rename="camel"):
    usage_unit: str = ""
    tiered_rates: list[_Tier] = []


class _Pricing(Struct, frozen=True, rename="camel"):
    pricing_expression: _Expression


class _Category(Struct, frozen=True, rename="camel"):
    usage_type: str = ""


class Sku(Struct, frozen=True, rename="camel"):
    """One item of the catalogue. The other fields are not read."""

    description: str
    category: _Category = _Category()
    service_regions: list[str] = []
    pricing_info: list[_Pricing] = []


class _ListPage(Struct, frozen=True, rename="camel"):
    next_page_token: str = ""


class _Page(_ListPage, frozen=True, rename="camel"):
    skus: list[Sku] = []


class _Warning(Struct, frozen=True):
    code: str = ""


class _Type(Struct, frozen=True):
    name: str


class _Scoped(Struct, frozen=True, rename="camel"):
    machine_types: list[_Type] = []
    warning: _Warning = _Warning()


class _Zones(_ListPage, frozen=True, rename="camel"):
    items: dict[str, _Scoped] = {}
    unreachables: list[str] = []


P = TypeVar("P", bound=_ListPage)


def gcp_prices(api: GcpClient) -> Reading:
    """On-demand and spot prices of each region, put together from the parts of a machine. Raises DriverError."""
    found = rates(sku for page in _pages(api) for sku in page)
    if not found:
        raise DriverError(f"{SOURCE} has no price of a machine with GPUs. Run `mixtral-bot prices` later")
    return Reading(quotes=tuple(quotes(found)))


def quotes(found: Rates) -> Iterator[Quote]:
    """The price of each machine type in each region where every part of it has exactly one price."""
    for cloud, type_, _, count, _, vcpus, memory in TYPES:
        family = FAMILIES.get(type_.rpartition("-")[0]) if cloud == "gcp" else None
        if family is None:
            continue
        host, gpu, disk = family
        amounts = {f"{host} Instance Core": vcpus, f"{host} Instance Ram": memory, gpu: count}
        amounts |= {"SSD backed Local Storage": disk * count} if disk else {}
        for (region, spot), prices in found.items():
            if (not spot and (cloud, type_) in SPOT_ONLY) or any(len(prices.get(part, ())) != 1 for part in amounts):
                continue
            usd = sum((amount * next(iter(prices[part])) for part, amount in amounts.items()), Decimal(0))
            yield Quote(
                cloud=cloud,
                instance_type=type_,
                region=region,
                zone="",
                spot=spot,
                usd_per_hour=usd.quantize(PRECISION).normalize(),
                source=SOURCE,
            )


def rates(skus: Iterator[Sku]) -> Rates:
    """The prices of the parts of machines. SKUs of commitments, reservations and flexible starts are left out."""
    found: dict[tuple[str, bool], dict[str, frozenset[Decimal]]] = defaultdict(lambda: defaultdict(frozenset))
    for sku in skus:
        matched = next((m for pattern in (HOST, GPU, DISK) if (m := pattern.fullmatch(sku.description))), None)
        if matched is None or (usd := _usd_per_hour(sku)) is None:
            continue
        spot = bool(matched["spot"])
        if sku.category.usage_type not in ((ON_DEMAND, SPOT) if spot else (ON_DEMAND,)):
            continue
        for region in sku.service_regions:
            found[region, spot][matched["part"]] |= {usd}
    return found


def _usd_per_hour(sku: Sku) -> Decimal | None:
    """The newest price, NaN if impossible; None if it is free, has several tiers, or an unknown unit or currency."""
    if not sku.pricing_info:
        return None
    expression = sku.pricing_info[-1].pricing_expression
    prices = [tier.unit_price for tier in expression.tiered_rates if not tier.unit_price.is_free]
    if len(prices) != 1 or prices[0].currency_code != "USD" or expression.usage_unit not in UNITS:
        return None
    try:
        usd = prices[0].usd
    except ArithmeticError:
        return Decimal("NaN")
    plausible = usd.is_finite() and 0 < usd <= MAX_PRICE
    return usd * UNITS[expression.usage_unit] if plausible else Decimal("NaN")


def _pages(api: GcpClient) -> Iterator[list[Sku]]:
    query = {"pageSize": str(PAGE), "currencyCode": "USD"}
    for page in _read(api, SOURCE, BILLING, CATALOGUE, query=query, type_=_Page):
        yield page.skus


def gcp_zones(api: GcpClient) -> Reading:
    """The zones that have each machine type. Raises DriverError."""
    known = {one[1] for one in TYPES if one[0] == "gcp"}
    families = "|".join(sorted({type_.partition("-")[0] for type_ in known}))
    # The SDK's request has no field for partial lists.
    query = {"filter": f'name eq "({families})-.*"', "returnPartialSuccess": "true"}
    path = f"/compute/v1/projects/{api.project}/aggregated/machineTypes"
    sold: dict[str, set[tuple[str, str]]] = defaultdict(set)
    silent: set[str] = set()
    for page in _read(api, ZONES, COMPUTE, path, query=query, type_=_Zones):
        silent |= {place.rpartition("/")[2] for place in page.unreachables}
        for place, scoped in page.items.items():
            zone = place.rpartition("/")[2]
            if scoped.warning.code == "UNREACHABLE":
                silent.add(zone)
            elif ZONE.fullmatch(zone):
                sold[_region(zone)] |= {(zone, one.name) for one in scoped.machine_types if one.name in known}
    unknown = {_region(zone) for zone in silent}
    return Reading(
        sold={("gcp", region): frozenset(there) for region, there in sold.items() if there and region not in unknown},
        failed=tuple(f"GCP did not list the machine types of {zone}" for zone in sorted(silent)),
    )


def _region(zone: str) -> str:
    return zone.rpartition("-")[0]


def _read(
    api: GcpClient, source: str, host: str, path: str, *, query: Mapping[str, str], type_: type[P]
) -> Iterator[P]:
    """Yield the pages of a list. Raises DriverError."""
    token = ""
    for _ in range(MAX_PAGES):
        status, body = api.rest(f"https://{host}", path, {**query, "pageToken": token})
        if status != 200:  # noqa: PLR2004 - HTTP
            raise DriverError(_refusal(source, host, status, body, api.project))
        try:
            page = msgspec.json.decode(body, type=type_)
        except msgspec.MsgspecError as error:
            raise DriverError(f"{source} cannot be read: {error}") from error
        yield page
        token = page.next_page_token
        if not token:
            return
    raise DriverError(f"{source} has more than {MAX_PAGES} pages")


def _refusal(source: str, host: str, status: int, body: bytes, project: str) -> str:
    if b"SERVICE_DISABLED" in body:
        return f"{source}: the API is off. Run `gcloud services enable {host} --project {project}`"
    try:
        text = str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        text = ""
    return f"{source}: HTTP {status} {' '.join(text.split())[:200]}".rstrip()
