"""PURE: what machines cost now, today and this month, in a viewer's time zone."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from decimal import Decimal

from msgspec import Struct

from bot.views.amounts import count, per_hour_and_day, usd
from bot.views.blocks import Block, context, section
from workers.deployment.ledger import Use
from workers.deployment.state import Deployment


class Spending(Struct, frozen=True, kw_only=True):
    """USD at listed prices."""

    per_hour: Decimal
    today: Decimal
    month: Decimal
    unpriced: int
    """Number of machines of this month without a known price, which are not counted."""


def day_start(now: datetime, zone: tzinfo) -> datetime:
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


def month_start(now: datetime, zone: tzinfo) -> datetime:
    return day_start(now, zone).replace(day=1)


def spending(running: Sequence[Deployment], uses: Sequence[Use], now: datetime, zone: tzinfo) -> Spending:
    """`running`: the deployments that have not ended. `uses`: of the machines of these and of earlier ones."""
    today, month = day_start(now, zone), month_start(now, zone)
    return Spending(
        per_hour=sum((state.usd_per_hour for state in running), Decimal(0)),
        today=sum((use.cost(today, now) for use in uses), Decimal(0)),
        month=sum((use.cost(month, now) for use in uses), Decimal(0)),
        unpriced=sum(_is_unpriced(use) and use.seconds(month, now) > 0 for use in uses),
    )


def _is_unpriced(use: Use) -> bool:
    return use.booked.usd_per_hour is None and use.booked.cloud != "local"


def blocks(spent: Spending, now: datetime, zone: tzinfo, *, lost: int) -> list[Block]:
    """The three sums, and in words what they contain.

    `lost`: number of deployments whose logs cannot be read; the ledger still contains their machines.
    """
    least = "at least " if spent.unpriced else ""
    sums = [
        f"*Now* {'at least ' if lost else least}{per_hour_and_day(spent.per_hour)}",
        f"*Today* {least}{usd(spent.today)}",
        f"*{now.astimezone(zone):%B}* {least}{usd(spent.month)}",
    ]
    name = str(zone).removeprefix("Etc/")
    said = f"For the deployments that you can see, at listed prices. Days and months are those of {name}."
    if spent.unpriced:
        said += f" {count(spent.unpriced, 'machine is', 'machines are')} not counted, because the price is not known."
    if lost:
        said += f" *Now* does not include {count(lost, 'deployment')} whose log cannot be read."
    return [section("\n".join(sums)), context(f"{said} `/mixtral cost` shows more.")]
