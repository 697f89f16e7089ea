"""PURE: the ceiling of a deployment: the most that its replicas together may cost per hour."""

from collections.abc import Iterable
from decimal import Decimal

from msgspec.structs import replace

from recipes.replicas import follows_load
from recipes.schema import Recipe
from workers.decision.mix import mix_of
from workers.deployment.attempt import Attempt
from workers.deployment.state import Deployment
from workers.placement.ladder import Rung, considered
from workers.placement.limits import Limits


def ceiling_of(recipe: Recipe, limits: Limits, replicas: int, rungs: Iterable[Rung]) -> Decimal | None:
    """USD per hour of all replicas that may be live together, at the most expensive rung; None if no price is known.

    The replicas are those that were asked for, or more if the load may raise their number; and the spares of the mix.
    """
    prices = usable_prices(rungs)
    return _most(recipe, limits, replicas) * prices[-1] if prices else None


def raised(state: Deployment, replicas: int, rungs: Iterable[Rung]) -> Decimal | None:
    """The ceiling after a person has asked for this number of replicas: at least the present one; None without one.

    `rungs`: the ladder by the present prices. The rungs of the state count, too.
    """
    if state.ceiling is None:
        return None
    more = ceiling_of(state.recipe, state.limits, replicas, [*rungs, *state.rungs]) if replicas else None
    return max(state.ceiling, more or Decimal(0))


def usable_prices(rungs: Iterable[Rung]) -> list[Decimal]:
    """The known prices of the rungs that are considered; cheapest first."""
    priced = [rung for rung in rungs if rung.offer.usd_per_hour is not None]
    return sorted(rung.offer.usd_per_hour for rung in considered(priced) if rung.offer.usd_per_hour is not None)


def _most(recipe: Recipe, limits: Limits, replicas: int) -> int:
    policy, mix = recipe.service.replica_policy, mix_of(recipe, spot=limits.spot)
    wanted = max(replicas, policy.max_replicas or 0) if follows_load(policy) else replicas
    wanted = max(wanted, 1)  # a request may start one
    return wanted + (max(mix.spare, 1) if mix.fallback else mix.spare)  # a spare replaces a fallback while it runs


TIMES_CHEAPEST = 2
"""A machine that costs more than so many times the cheapest offer is dear."""


def costly(state: Deployment) -> tuple[Attempt, Decimal] | None:
    """The first live machine that costs over TIMES_CHEAPEST the cheapest usable offer, and the price of that offer.

    An on-demand machine is compared with on-demand ones if the recipe has some replicas that are always on demand.
    """
    based = mix_of(state.recipe, spot=state.limits.spot).base > 0
    for attempt in state.live:
        alike = [r for r in state.rungs if not (based and r.offer.spot and not attempt.offer.spot)]
        cheapest = next(iter(usable_prices(alike)), None)
        if attempt.machine is not None and cheapest is not None and _price(attempt) > TIMES_CHEAPEST * cheapest:
            return attempt, cheapest
    return None


def committed(state: Deployment) -> Decimal:
    """USD per hour of the live replicas, each at the most expensive offer that may become its machine."""
    return sum((_price(attempt) for attempt in state.live), Decimal(0))


def _price(attempt: Attempt) -> Decimal:
    offers = (attempt.machine.offer,) if attempt.machine else attempt.request.offers
    return max((offer.usd_per_hour or Decimal(0) for offer in offers), default=Decimal(0))


def room(state: Deployment) -> Decimal | None:
    """USD per hour that a further replica may cost; None without a ceiling."""
    return None if state.ceiling is None else state.ceiling - committed(state)


def is_over(rung: Rung, left: Decimal | None) -> bool:
    """Whether a replica on this rung would cost more than is left below the ceiling."""
    return left is not None and (rung.offer.usd_per_hour or Decimal(0)) > left


def without(state: Deployment) -> Deployment:
    """The same deployment without its ceiling: for what a higher one would allow."""
    return replace(state, ceiling=None)
