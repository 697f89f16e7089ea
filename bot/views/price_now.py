"""PURE: what a launch would cost now, by the ladder, and the nearest limits if no machine satisfies those given."""

from collections.abc import Sequence
from decimal import Decimal

from bot.views import offers
from bot.views.amounts import count, per_hour_and_day, usd_per_hour
from bot.views.escape import clip, escape, inert
from bot.views.ladder import mends
from workers.placement.ladder import Rung, considered
from workers.placement.limits import Limits

MAX_CAUSE = 600


def price_now(rungs: Sequence[Rung], why_empty: str, *, replicas: int = 1, would_do: Limits | None = None) -> str:
    """The cheapest usable offer with its price per hour and day, and the highest price; or why there is none. Mrkdwn.

    `would_do`: limits that an offer satisfies, if none satisfies those of the ladder.
    """
    usable = [rung.offer for rung in rungs if rung.usable]
    if not rungs:
        nearest = f" The nearest limits that an offer satisfies: {in_words(would_do)}." if would_do else ""
        return f"{inert(clip(why_empty, MAX_CAUSE))}{nearest}"
    if not usable:
        mend = mends(rungs)
        none = f"None of the {count(len(rungs), 'offer')} can be taken here now."
        return f"{none}\n{mend}" if mend else none
    cheapest = usable[0]
    each = cheapest.usd_per_hour
    price = offers.price(cheapest) if not each else f"{per_hour_and_day(each)}"
    uncertain = offers.UNCERTAIN if each and cheapest.doubtful else ""
    said = [f"*Cheapest now*: {offers.machine(cheapest)}, {offers.place(cheapest)}, {price}{uncertain}."]
    if replicas > 1 and each:
        said.append(f"{count(replicas, 'replica')} of it: {per_hour_and_day(each * replicas)}.")
    if len(known := [o for o in usable if o.usd_per_hour is not None]) > 1:
        dearest = max(known, key=lambda o: o.usd_per_hour or 0)
        if dearest.usd_per_hour != each:
            said.append(f"The most expensive offer: {offers.price(dearest)}.")
    return " ".join(said)


def launch_prices(rungs: Sequence[Rung], replicas: int, ceiling: Decimal | None) -> str:
    """The cheapest and the most expensive offer, and the ceiling; empty if it is free or not known."""
    prices = [r.offer.usd_per_hour for r in considered(rungs) if r.offer.usd_per_hour is not None]
    if not prices or not max(prices):
        return ""
    cheapest = next(price for price in prices)
    what = f"{count(replicas, 'replica')} cost" if replicas > 1 else "It costs"
    price = f"{what} {per_hour_and_day(cheapest * replicas)} at the cheapest offer"
    said = [f"{price}."]
    if (dearest := max(prices)) > cheapest:
        said = [f"{price}, and {usd_per_hour(dearest * replicas)} at the most expensive."]
    if ceiling is not None:
        said.append(_ceiling(prices, replicas, ceiling))
    return " ".join(said)


def _ceiling(prices: Sequence[Decimal], replicas: int, ceiling: Decimal) -> str:
    """The ceiling, and how many of the replicas it can hold if not all."""
    cheapest = min(prices)
    said = f"Its ceiling is {usd_per_hour(ceiling)}: its replicas together never cost more."
    if ceiling >= cheapest * replicas:
        return said
    held = int(ceiling / cheapest)
    return (
        f"{said} That is enough for {held} of the {count(replicas, 'replica')}: the others are not started unless a "
        "person scales it, which sets a higher ceiling."
    )


def from_price(rungs: Sequence[Rung]) -> str:
    """`from 7.98 USD/h`, `free`, or `no usable offer`: the cheapest usable offer."""
    usable = [rung.offer for rung in rungs if rung.usable]
    if not usable:
        return "no usable offer"
    price = offers.price(usable[0]).removesuffix(offers.UNCERTAIN)
    return f"from {price}" if usable[0].usd_per_hour else price


def in_words(limits: Limits) -> str:
    """`spot, on AWS or GCP, at most 12.50 USD/h`; `no limits` without any."""
    gpus = " or ".join(offers.gpus(*_split(gpu)) for gpu in limits.gpus)
    clouds = " or ".join(offers.cloud(cloud) for cloud in limits.clouds)
    parts = [
        "spot" if limits.spot else "",
        gpus,
        f"on {clouds}" if clouds else "",
        f"at most {limits.max_price:f} USD/h" if limits.max_price is not None else "",
    ]
    return ", ".join(part for part in parts if part) or "no limits"


def _split(gpu: str) -> tuple[str, int]:
    name, _, number = escape(gpu).rpartition(":")
    return name, int(number)
