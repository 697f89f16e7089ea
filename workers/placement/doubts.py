"""PURE: the offers of a row of the price table, and the rules by which a price is doubtful."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from statistics import median

from msgspec import UNSET, Struct

from workers.placement.offer import Offer

TOLERANCE = Decimal("0.0001")
"""Prices that differ by at most this many USD per hour are equal: spot prices have four decimals."""

LEAST = Decimal("0.75")
"""An on-demand price below this share of its peers' median, or of the shipped price, is doubtful.

Regions differ by less than that, and a catalogue that omits the host or the GPUs is off by more. Spot prices are not
compared: in the shipped table they differ tenfold between zones.
"""


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table: a machine type in a zone."""

    cloud: str
    region: str
    zone: str
    instance_type: str
    accelerator: str | None
    count: int
    gpu_memory_gib: Decimal | None
    vcpus: int
    memory_gib: Decimal
    on_demand: Decimal | None
    """None if unknown, or if the cloud does not sell it (`spot_only`)."""
    spot: Decimal | None
    spot_only: bool = False
    """Whether the machine is not sold on demand."""
    no_spot: bool = False
    """Whether the machine is not sold as spot. With `spot_only`, the zone does not have the machine."""
    read_on: str = ""
    """When the on-demand price was read: `2026-11-23` or `2026-11`; empty if unknown."""
    spot_read_on: str = ""
    """When the spot price was read."""

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.cloud, self.zone, self.instance_type)


class Comparison(Struct, frozen=True, kw_only=True):
    """On-demand prices with which those of a table are compared."""

    peers: Mapping[tuple[str, str | None, float], Decimal] = {}
    """Median USD per hour and GPU, by cloud, GPU and vCPUs per GPU."""
    shipped: Mapping[tuple[str, str, str], Decimal] = {}
    """USD per hour of the same machine in the table that is part of the product, by `Row.key`."""


ALONE = Comparison()


def comparison(table: Iterable[Row], shipped: Iterable[Row]) -> Comparison:
    """The medians of `table`, and the prices of `shipped`."""
    per_gpu: dict[tuple[str, str | None, float], list[Decimal]] = defaultdict(list)
    for row in table:
        if row.on_demand is not None and row.count:
            per_gpu[_peers(row)].append(row.on_demand / row.count)
    return Comparison(
        peers={peers: median(prices) for peers, prices in per_gpu.items()},
        shipped={row.key: row.on_demand for row in shipped if row.on_demand is not None},
    )


def offers_of(row: Row, against: Comparison = ALONE) -> tuple[Offer, ...]:
    """The row's on-demand and spot offer, without the ways in which the machine is not sold."""
    offers = (
        None if row.on_demand is None and row.spot_only else on_demand(row, against),
        None if row.spot is None and row.no_spot else spot(row),
    )
    return tuple(offer for offer in offers if offer is not None)


def on_demand(row: Row, against: Comparison = ALONE) -> Offer:
    """The row's on-demand offer. If its price is doubtful, the highest that it was compared with is used."""
    price, doubt = max(_doubts(row, against), default=(row.on_demand, None))
    return _offer(row, spot=False, price=price, doubtful=doubt)


def spot(row: Row) -> Offer:
    """The row's spot offer. Doubtful unless its price is below the on-demand price; the higher one is then used."""
    price, upper = row.spot, row.on_demand
    if price is None:
        doubt: str | None = "the table has no spot price; the on-demand price is used"
        return _offer(row, spot=True, price=upper, doubtful=doubt if upper is not None else None)
    if upper is None:
        doubt = None if row.spot_only else "the table has no on-demand price to compare with"
    elif price > upper + TOLERANCE:
        doubt = _below_spot(upper, price)
    elif price >= upper - TOLERANCE:
        doubt = "the table's spot price equals its on-demand price"
    else:
        doubt = None
    return _offer(row, spot=True, price=max(price, upper or price) if doubt else price, doubtful=doubt)


def _doubts(row: Row, against: Comparison) -> Iterator[tuple[Decimal, str]]:
    """A higher price to reckon with, and the reason, for each rule by which the on-demand price is doubtful."""
    price = row.on_demand
    if price is None:
        return
    if row.spot is not None and price < row.spot - TOLERANCE:
        yield row.spot, _below_spot(price, row.spot)
    usual = against.peers.get(_peers(row)) if row.count else None
    if usual is not None and price < usual * row.count * LEAST:
        yield _much_below(price, usual * row.count, f"{row.cloud.upper()}'s median for this GPU")
    shipped = against.shipped.get(row.key)
    if shipped is not None and price < shipped * LEAST:
        yield _much_below(price, shipped, "the price in offers.csv")


def _peers(row: Row) -> tuple[str, str | None, float]:
    return (row.cloud, row.accelerator, row.vcpus / row.count)


def _below_spot(price: Decimal, lower: Decimal) -> str:
    return f"the table's on-demand price, {price:f}, is below its spot price, {lower:f}"


def _much_below(price: Decimal, other: Decimal, whose: str) -> tuple[Decimal, str]:
    share = f"{100 * (1 - price / other):.0f} %"
    return other, f"the table's on-demand price, {price:f}, is {share} below {whose}, {other:.4f}"


def _offer(row: Row, *, spot: bool, price: Decimal | None, doubtful: str | None) -> Offer:
    beside = row.on_demand if spot else None
    if beside is not None and row.spot is not None:
        beside = max(beside, row.spot)  # a doubtful row shows no saving
    return Offer(
        cloud=row.cloud,
        region=row.region,
        zone=row.zone,
        instance_type=row.instance_type,
        accelerator=row.accelerator,
        count=row.count,
        spot=spot,
        usd_per_hour=price,
        on_demand_usd_per_hour=beside,
        doubtful=doubtful,
        vcpus=row.vcpus,
        memory_gib=row.memory_gib,
        gpu_memory_gib=row.gpu_memory_gib,
        read_on=(row.spot_read_on if spot and row.spot is not None else row.read_on) or UNSET,
    )
