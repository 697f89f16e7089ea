"""Builders of offers and ladders from short texts."""

from collections.abc import Iterable
from decimal import Decimal
from functools import partial
from typing import Any

from msgspec.structs import replace

from workers.placement.ladder import Rung
from workers.placement.offer import Offer

Usd = Decimal | int | float | str


def offer(
    place: str = "gcp r-a",
    usd: Usd | None = 1,
    gpu: str = "A100:8",
    *,
    spot: bool = False,
    on_demand: Usd | None = None,
    **more: Any,
) -> Offer:
    """An offer from words: `offer("aws use1-az1", "21.96", "A100:8", region="us-east-1")`.

    `place` is a cloud and a zone; a zone alone is one of GCP. The region is the zone without its last part, unless
    given. `gpu` is a name and a count; empty is a machine without a GPU. Prices are USD per hour; None is unknown.
    `more` are further fields of Offer.
    """
    cloud, _, zone = place.rpartition(" ")
    name, _, count = gpu.partition(":")
    cloud = cloud or "gcp"
    made = Offer(
        cloud=cloud,
        region=zone.rpartition("-")[0] or zone,
        zone=zone,
        instance_type=f"{cloud} {gpu}" if name else "cpu",
        accelerator=name or None,
        count=int(count or bool(name)),
        spot=spot,
        usd_per_hour=None if usd is None else Decimal(str(usd)),
        on_demand_usd_per_hour=None if on_demand is None else Decimal(str(on_demand)),
    )
    return replace(made, **more)


spot_offer = partial(offer, spot=True)

HERE = offer("local here", 0, "", region="local")
"""The machine of the `local` cloud, without a GPU."""


def ladder(*offers: Offer) -> tuple[Rung, ...]:
    """One usable rung per offer, in the given order."""
    return tuple(Rung(offer=one, usable=True) for one in offers)


def unusable(rungs: Iterable[Rung]) -> tuple[Rung, ...]:
    """The same ladder in a process without the clouds' credentials."""
    return tuple(replace(rung, usable=False, reason="no credentials") for rung in rungs)
