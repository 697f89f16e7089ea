"""PURE: offers as text: machine, place and price."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from bot.views.amounts import count, usd_per_hour
from bot.views.escape import escape
from workers.placement.age import ago, day_of
from workers.placement.ladder import Rung
from workers.placement.offer import Offer

CLOUDS = {"aws": "AWS", "gcp": "GCP", "local": "this machine", "": "unknown cloud"}

TIMES = "\N{MULTIPLICATION SIGN}"
TO = "\N{EN DASH}"
UNCERTAIN = " (price uncertain)"

NAMED = 2
"""Maximum number of kinds of machines that are named on one line."""


class Fold(Struct, frozen=True):
    """Rungs of one kind of machine, shown as one line."""

    rungs: tuple[Rung, ...]

    @property
    def first(self) -> Rung:
        return self.rungs[0]

    @property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(r.offer for r in self.rungs)


def cloud(name: str) -> str:
    return CLOUDS.get(name, escape(name))


def gpus(name: str, number: int) -> str:
    """The number and the name of GPUs."""
    return f"{number} {TIMES} {escape(name)}"


def machine(offer: Offer) -> str:
    """Its GPUs and whether it is spot; `CPU only` without one."""
    what = gpus(offer.accelerator, offer.count) if offer.accelerator else "CPU only"
    return f"{what}, spot" if offer.spot else what


def machines(offers: Sequence[Offer]) -> str:
    """The kinds of machines, in the order of the offers; of many kinds, the first ones and the number of the others."""
    kinds = list(dict.fromkeys(machine(o) for o in offers))
    more = len(kinds) - NAMED
    return f"{', '.join(kinds[:NAMED])} and {count(more, 'other kind')}" if more > 0 else ", ".join(kinds)


def place(offer: Offer) -> str:
    """`GCP us-central1-a`, `AWS use1-az1 in us-east-1`, `this machine`."""
    if offer.cloud == "local":
        return CLOUDS["local"]
    if not offer.zone:
        return f"{cloud(offer.cloud)} {escape(offer.region)}".strip()
    # A zone id of AWS does not contain the region's name.
    region = "" if offer.zone.startswith(offer.region) else f" in {escape(offer.region)}"
    return f"{cloud(offer.cloud)} {escape(offer.zone)}{region}"


def price(offer: Offer) -> str:
    """`5.89 USD/h`, `free`, `price unknown`; a doubtful price is marked."""
    return prices([offer])


def prices(offers: Sequence[Offer]) -> str:
    """The price range of offers that share a line, from the lowest to the highest."""
    known = [o.usd_per_hour for o in offers if o.usd_per_hour is not None]
    if not known:
        return "price unknown"
    low, high = min(known), max(known)
    uncertain = UNCERTAIN if any(o.doubtful for o in offers) else ""
    if high == 0:
        return "free" if all(o.cloud == "local" for o in offers) else f"{usd_per_hour(high)}{uncertain}"
    if usd_per_hour(low) == usd_per_hour(high):
        return f"{usd_per_hour(high)}{uncertain}"
    return f"{usd_per_hour(low).removesuffix(' USD/h')}{TO}{usd_per_hour(high)}{uncertain}"


def read_ago(offers: Iterable[Offer], now: datetime) -> str:
    """How long ago the oldest price was read, if that is more than a week: `118 days ago`."""
    days = [o.read_on for o in offers if isinstance(o.read_on, str) and o.usd_per_hour is not None]
    return ago(min(days, key=day_of), now.date()) if days else ""


def places(offers: Sequence[Offer]) -> str:
    """`GCP us-central1-a`, `GCP us-central1 (3 zones)`, `GCP (9 zones in 4 regions)`."""
    zones = list(dict.fromkeys((o.region, o.zone) for o in offers))
    if len(zones) == 1:
        return place(offers[0])
    regions = list(dict.fromkeys(region for region, _ in zones))
    name = cloud(offers[0].cloud)
    if len(regions) == 1:
        return f"{name} {escape(regions[0])} ({count(len(zones), 'zone')})"
    return f"{name} ({count(len(zones), 'zone')} in {len(regions)} regions)"


def by_price(rungs: Iterable[Rung]) -> tuple[Fold, ...]:
    """Rungs in their order; the zones of one kind of machine at one price share a line."""
    return _fold(rungs, lambda rung: (_kind(rung), rung.offer.usd_per_hour))


def by_kind(rungs: Iterable[Rung]) -> tuple[Fold, ...]:
    """Rungs in the order of the first of each kind; each kind of machine of a cloud is one line."""
    return _fold(rungs, _kind)


def _kind(rung: Rung) -> Hashable:
    offer = rung.offer
    return offer.cloud, offer.instance_type, offer.accelerator, offer.count, offer.spot, rung.usable, rung.reason


def _fold(rungs: Iterable[Rung], key: Callable[[Rung], Hashable]) -> tuple[Fold, ...]:
    folds: dict[Hashable, list[Rung]] = {}
    for rung in rungs:
        folds.setdefault(key(rung), []).append(rung)
    return tuple(Fold(tuple(together)) for together in folds.values())
