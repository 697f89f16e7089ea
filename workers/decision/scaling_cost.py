"""PURE: what another number of replicas costs, by the prices of the ladder."""

from datetime import datetime
from decimal import Decimal

from workers.decision.ceiling import without
from workers.decision.choice import launchable
from workers.decision.mix import going, lacks, mix_of
from workers.deployment.state import Deployment


def hourly_change(before: Deployment, after: Deployment, now: datetime) -> Decimal | None:
    """USD per hour that `after` costs more than `before` once its replicas run, negative if less; None if unknown."""
    more = after.wanted - before.wanted
    if not more:
        return Decimal(0)
    if more > 0:
        price = next_price(after, now)
        return None if price is None else more * price
    mix = mix_of(after.recipe, spot=after.limits.spot)
    prices = [a.offer.usd_per_hour for a in going(mix, after.wanted, after.attempts)]
    return None if None in prices else -sum((p for p in prices if p is not None), Decimal(0))


def next_price(state: Deployment, now: datetime) -> Decimal | None:
    """USD per hour of the replica that would be launched next; None if no offer is open, or its price is unknown."""
    mix = mix_of(state.recipe, spot=state.limits.spot)
    live = len(state.live)
    offers = launchable(without(state), lacks(mix, max(state.wanted, live + 1), state.attempts), now)
    return offers[0].usd_per_hour if offers else None
