"""PURE: what spot machines have saved compared with on demand."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from workers.deployment.attempt import Attempt


def saved(attempts: Iterable[Attempt], now: datetime) -> Decimal:
    """USD saved up to `now`, by the prices at the launch. A machine with an unknown price counts as 0."""
    return sum((_saved(attempt, now) for attempt in attempts), Decimal(0))


def _saved(attempt: Attempt, now: datetime) -> Decimal:
    machine = attempt.machine
    if machine is None or not machine.offer.spot:
        return Decimal(0)
    price, on_demand = machine.offer.usd_per_hour, machine.offer.on_demand_usd_per_hour
    if price is None or on_demand is None:
        return Decimal(0)
    seconds = ((attempt.gone_at or now) - machine.created_at).total_seconds()
    return (on_demand - price) * Decimal(max(seconds, 0)) / 3600
