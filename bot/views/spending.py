"""PURE: what deployments cost now, today and this month, in a viewer's time zone."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from decimal import Decimal

from msgspec import Struct

from bot.views.amounts import count, moment, per_hour_and_day, usd
from bot.views.blocks import Block, context, section
from workers.deployment.state import Deployment, EndedDeployments


class Spending(Struct, frozen=True, kw_only=True):
    """USD by listed prices."""

    per_hour: Decimal
    today: Decimal
    month: Decimal
    since: datetime
    """Start of `month`: later than the month's if earlier ends are not known."""
    unpriced: int
    """Number of machines of this month without a known price, which are not counted."""
    left_out: int
    """Number of deployments whose logs cannot be read, and which are not counted."""


def day_start(now: datetime, zone: tzinfo) -> datetime:
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def month_start(now: datetime, zone: tzinfo) -> datetime:
    return day_start(now, zone).replace(day=1)


def spending(
    running: Sequence[Deployment], ended: EndedDeployments, now: datetime, zone: tzinfo, *, lost: int = 0
) -> Spending:
    """`lost`: number of deployments that have not ended and whose logs cannot be read."""
    today, since = day_start(now, zone), max(month_start(now, zone), ended.since)
    everything = [*running, *ended.states]
    return Spending(
        per_hour=sum((state.usd_per_hour for state in running), Decimal(0)),
        today=_spent(everything, now, max(today, since)),
        month=_spent(everything, now, since),
        since=since,
        unpriced=sum(_unpriced(state, since) for state in everything),
        left_out=ended.left_out + lost,
    )


def _spent(states: Sequence[Deployment], now: datetime, since: datetime) -> Decimal:
    return sum((state.spent(state.ended.at if state.ended else now, since) for state in states), Decimal(0))


def _unpriced(state: Deployment, since: datetime) -> int:
    """Number of rented machines without a known price that existed after `since`."""
    rented = (a for a in state.attempts if a.machine is not None and a.offer.cloud != "local")
    return sum(a.offer.usd_per_hour is None and (a.gone_at or since) >= since for a in rented)


def blocks(spent: Spending, now: datetime, zone: tzinfo) -> list[Block]:
    """The three sums, and in words what they contain."""
    month = f"{now.astimezone(zone):%B}"
    is_whole = spent.since <= month_start(now, zone)
    least = "at least " if spent.left_out or spent.unpriced else ""
    sums = [
        f"*Now* {least}{per_hour_and_day(spent.per_hour)}",
        f"*Today* {least}{usd(spent.today)}",
        f"*{month}{'' if is_whole else f', since {moment(spent.since)}'}* {least}{usd(spent.month)}",
    ]
    said = f"Of the deployments that you can see, by listed prices. Days and months are those of {zone}."
    if not is_whole:
        said += " Earlier ends are not recorded any more."
    if spent.unpriced:
        said += f" Without {count(spent.unpriced, 'machine')} whose price is not known."
    if spent.left_out:
        said += f" Without {count(spent.left_out, 'deployment')} whose log cannot be read."
    return [section("\n".join(sums)), context(said)]
