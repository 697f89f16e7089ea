"""PURE: the offers that satisfy a recipe, in the order in which they are tried."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from msgspec.structs import replace

from recipes.accelerators import parse
from recipes.schema import Accelerator, Minimum, Recipe, Resources
from workers.placement.ladder import Rung
from workers.placement.limits import NO_LIMITS, Limits
from workers.placement.offer import CloudStatus, Offer

NO_PRICE_MEND = "add its price to a table in the columns of offers.csv, and name that table in MIXTRAL_PRICES"


def plan(
    recipe: Recipe,
    offers: Iterable[Offer],
    limits: Limits = NO_LIMITS,
    *,
    statuses: Mapping[str, CloudStatus] | None = None,
) -> tuple[Rung, ...]:
    """The ladder: one rung for each zone and machine type that satisfies the recipe, in the order of `_Place`.

    With the limit `spot`, or use_spot in the recipe: spot offers, and on demand beside them where the recipe has
    dynamic_ondemand_fallback or base_ondemand_fallback_replicas: `workers.decision.mix` chooses for each replica.
    Otherwise on-demand offers only. Offers of `local` are neither, and are always included. The limit `max_price`
    excludes offers without a price. `statuses`: the rungs of a cloud that is not usable or is missing are unusable,
    with the reason. An offer without a price is never usable: its cost cannot be stated.
    Raises RecipeError for an unknown GPU in the limits.
    """
    wanted = _Wanted(recipe, limits)
    offers = tuple(offers)
    placed: dict[_Place, Offer] = {}
    unpriced: dict[_Place, Offer] = {}
    for offer in [*offers, *_nowhere(wanted, offers)]:
        place = wanted.place(offer)
        if place is not None:
            those = placed if offer.usd_per_hour is not None or offer.zone else unpriced
            those[place] = min(offer, those.get(place, offer), key=repr)
    placed |= _smallest(unpriced, besides=placed.values())
    return tuple(_rung(placed[place], statuses or {}) for place in sorted(placed))


def wants_spot(recipe: Recipe, spot: bool) -> bool:
    """Whether all machines are to be spot: requested by the launcher, or by every alternative of the recipe."""
    return spot or all(resources.use_spot for resources in recipe.resources)


class _Place(NamedTuple):
    """Sort key of an offer in the ladder: a total order that depends only on the offer and the recipe."""

    choice: int
    """If spot is wanted with a fallback to on demand: 0 spot with a sound price, 1 on demand, 2 spot with a doubtful
    price, 3 without a price. Otherwise 0."""
    alternative: int
    """Index of the recipe's alternative that it satisfies, if the alternatives are ordered; otherwise 0."""
    trust: int
    """0 with a sound price, 1 with a doubtful price, 2 without a price: offers with a sound price are tried first."""
    price: Decimal
    """USD per hour; the higher of the two if doubtful, 0 if unknown."""
    cloud: str
    region: str
    zone: str
    instance_type: str
    accelerator: str
    gpus: int
    spot: bool


class _Wanted:
    """A recipe and the launcher's limits."""

    def __init__(self, recipe: Recipe, limits: Limits) -> None:
        gpus = frozenset(parse(gpu) for gpu in limits.gpus)
        self.recipe = recipe
        self.alternatives = [_narrowed(resources, gpus) for resources in recipe.resources]
        self._limits = limits
        policy = recipe.service.replica_policy
        based = policy.base_ondemand_fallback_replicas > 0 and wants_spot(recipe, limits.spot)
        self._fallback = policy.dynamic_ondemand_fallback or based

    def place(self, offer: Offer) -> _Place | None:
        """The offer's place in the ladder, or None if it does not satisfy the recipe and the limits."""
        if self._limits.clouds and offer.cloud and offer.cloud not in self._limits.clouds:
            return None
        if not _affordable(offer, self._limits.max_price):
            return None
        for at, resources in enumerate(self.alternatives):
            fallback = self._lifecycle(offer, resources)
            if resources is not None and fallback is not None and satisfies(offer, resources):
                return _Place(
                    choice=_choice(offer, fallback) if self._fallback and self.spot_of(resources) else 0,
                    alternative=at if self.recipe.ordered else 0,
                    trust=2 if offer.usd_per_hour is None else 1 if offer.doubtful else 0,
                    price=offer.usd_per_hour or Decimal(0),
                    cloud=offer.cloud,
                    region=offer.region,
                    zone=offer.zone,
                    instance_type=offer.instance_type,
                    accelerator=offer.accelerator or "",
                    gpus=offer.count,
                    spot=offer.spot,
                )
        return None

    def spot_of(self, resources: Resources) -> bool:
        return self._limits.spot or bool(resources.use_spot)

    def _lifecycle(self, offer: Offer, resources: Resources | None) -> bool | None:
        """Whether the offer is an on-demand fallback; None if its lifecycle (spot or on demand) is not wanted."""
        if resources is None:
            return None
        spot = self.spot_of(resources)
        if offer.cloud == "local" or offer.spot == spot:
            return False
        return True if spot and self._fallback else None


def _choice(offer: Offer, fallback: bool) -> int:
    if offer.usd_per_hour is None:
        return 3
    if fallback:
        return 1
    return 2 if offer.doubtful else 0


def satisfies(offer: Offer, resources: Resources) -> bool:
    """Whether the offer satisfies this alternative of a recipe. Its lifecycle is not considered."""
    return (
        resources.cloud in (None, offer.cloud)
        and _lies_in(offer.region, resources.region)
        and _lies_in(offer.zone, resources.zone)
        and resources.instance_type in (None, offer.instance_type)
        and _affordable(offer, resources.max_hourly_cost)
        and _has_accelerator(offer, resources)
        and _is_big_enough(offer, resources)
    )


def _lies_in(place: str, pattern: str | None) -> bool:
    """An offer without a place matches every region and zone of its cloud."""
    return not place or pattern is None or fnmatchcase(place, pattern)


def _affordable(offer: Offer, limit: Decimal | None) -> bool:
    return limit is None or (offer.usd_per_hour is not None and offer.usd_per_hour <= limit)


def _has_accelerator(offer: Offer, resources: Resources) -> bool:
    if resources.accelerators:
        return any(a.name == offer.accelerator and a.count == offer.count for a in resources.accelerators)
    return offer.accelerator is None or resources.instance_type is not None


def _is_big_enough(offer: Offer, resources: Resources) -> bool:
    memory = resources.memory
    if memory is not None and resources.memory_per_cpu and offer.vcpus is not None:
        memory = Minimum(amount=memory.amount * offer.vcpus, at_least=True)
    return _holds(offer, offer.vcpus, resources.cpus) and _holds(offer, offer.memory_gib, memory)


def _holds(offer: Offer, have: float | Decimal | None, wanted: Minimum | None) -> bool:
    if wanted is None or have is None:
        return True
    if offer.cloud == "local":  # the size of this host is fixed: a larger one is accepted
        return float(have) >= wanted.amount
    return wanted.holds(float(have))


def _narrowed(resources: Resources, gpus: frozenset[Accelerator]) -> Resources | None:
    """The alternative with only the accelerators in `gpus`; None if none is left."""
    if not gpus or not resources.accelerators:
        return None if gpus else resources
    left = tuple(a for a in resources.accelerators if a in gpus)
    return replace(resources, accelerators=left) if left else None


def _smallest(unpriced: Mapping[_Place, Offer], *, besides: Iterable[Offer]) -> dict[_Place, Offer]:
    """Of the unpriced machine types with the same GPUs the smallest, unless one of those `besides` has these GPUs."""
    kinds = {_kind(offer) for offer in besides}
    smallest: dict[tuple[object, ...], tuple[_Place, Offer]] = {}
    for place, offer in unpriced.items():
        if (kind := _kind(offer)) not in kinds:
            smallest[kind] = min(smallest.get(kind, (place, offer)), (place, offer), key=lambda pair: _size(pair[1]))
    return dict(smallest.values())


def _kind(offer: Offer) -> tuple[object, ...]:
    return (offer.cloud, offer.accelerator, offer.count, offer.spot)


def _size(offer: Offer) -> tuple[float, Decimal, str]:
    return (offer.vcpus or 0, offer.memory_gib or Decimal(0), offer.instance_type)


def _nowhere(wanted: _Wanted, offers: Sequence[Offer]) -> Iterable[Offer]:
    """An offer without a cloud for each GPU that no known cloud sells, so that the ladder lists the GPU."""
    sold = {(cloud, offer.accelerator) for offer in offers for cloud in (offer.cloud, None)}
    for resources in wanted.alternatives:
        for accelerator in resources.accelerators if resources is not None else ():
            if resources is not None and (resources.cloud, accelerator.name) not in sold:
                yield Offer(
                    cloud=resources.cloud or "",
                    region="",
                    zone="",
                    instance_type=resources.instance_type or "",
                    accelerator=accelerator.name,
                    count=accelerator.count,
                    spot=wanted.spot_of(resources),
                    usd_per_hour=None,
                )


def _rung(offer: Offer, statuses: Mapping[str, CloudStatus]) -> Rung:
    status = statuses.get(offer.cloud)
    if not offer.cloud:
        reason = f"no cloud is known to sell {offer.accelerator}"
        return Rung(offer=offer, usable=False, reason=reason, mend=NO_PRICE_MEND)
    if status is None:
        return Rung(offer=offer, usable=False, reason=f"this version cannot launch on {offer.cloud}")
    if not status.usable:
        return Rung(offer=offer, usable=False, reason=status.reason, mend=status.mend)
    if offer.usd_per_hour is None:
        reason = f"the price table has no price for {offer.instance_type or offer.accelerator}"
        return Rung(offer=offer, usable=False, reason=reason, mend=NO_PRICE_MEND)
    return Rung(offer=offer, usable=True)
