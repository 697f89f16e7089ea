"""PURE: sentences that explain why a ladder is empty or lacks one of the recipe's GPUs, and what to change."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from recipes.accelerators import parse
from recipes.schema import Accelerator, Recipe
from workers.placement.ladder import Rung
from workers.placement.limits import NO_LIMITS, Limits
from workers.placement.offer import Offer
from workers.placement.planner import plan


def why_empty(recipe: Recipe, offers: Iterable[Offer], limits: Limits = NO_LIMITS) -> str:
    """One sentence for a plan without rungs: the single limit that excludes all offers, or what the recipe asks for."""
    offers = tuple(offers)
    spot, gpus, clouds, max_price = limits.spot, limits.gpus, limits.clouds, limits.max_price

    def if_changed(**changes: Any) -> tuple[Rung, ...]:
        return plan(recipe, offers, replace(limits, **changes))

    if gpus and not {parse(gpu) for gpu in gpus} & set(_taken(recipe)):
        return _takes_others(recipe, gpus)
    if max_price is not None and (left := if_changed(max_price=None)):
        return f"No machine for {recipe.name} costs at most {max_price:f} USD/h; {_cheapest(left)}."
    if clouds and (left := if_changed(clouds=())):
        sold = ", ".join(sorted({rung.offer.cloud or "no known cloud" for rung in left}))
        return f"No machine for {recipe.name} is sold on {' or '.join(clouds)}; there are some on {sold}."
    if spot and (left := if_changed(spot=False)):
        return f"No machine for {recipe.name} is sold as spot; on demand, {_cheapest(left)}."
    if not spot and (left := if_changed(spot=True)):
        return f"No machine for {recipe.name} is sold on demand; as spot (`--spot`), {_cheapest(left)}."
    if plan(recipe, offers):
        return f"No machine for {recipe.name} satisfies all of these limits; remove some of them."
    return _why_never(recipe, offers)


def _takes_others(recipe: Recipe, gpus: Sequence[str]) -> str:
    """The sentence for GPUs of the limits that are not among the recipe's."""
    if taken := _taken(recipe):
        return f"{recipe.name} takes {_listed(taken)}; none of them is {' or '.join(gpus)}."
    return f"{recipe.name} asks for no GPU, and `--gpus` allows only machines with {' or '.join(gpus)}. Leave it out."


def gaps(recipe: Recipe, offers: Iterable[Offer], rungs: Iterable[Rung]) -> tuple[str, ...]:
    """A sentence for each GPU of the recipe that has no rung because no machine type has that number of GPUs."""
    shown = {(rung.offer.accelerator, rung.offer.count) for rung in rungs}
    offers = tuple(offers)
    return tuple(
        sentence
        for accelerator in _taken(recipe)
        if (accelerator.name, accelerator.count) not in shown and (sentence := _count_gap(accelerator, offers))
    )


def _why_never(recipe: Recipe, offers: Sequence[Offer]) -> str:
    taken = _taken(recipe)
    if sentences := [s for a in taken if (s := _count_gap(a, offers))]:
        return " ".join(sentences)
    if not taken and all(r.instance_type is None for r in recipe.resources):
        here = next((o for o in offers if o.cloud == "local" and o.accelerator is None), None)
        machine = f"; this host has {here.vcpus} vCPUs and {here.memory_gib} GiB" if here else ""
        return f"{recipe.name} asks for no GPU, and the price table lists only machines with GPUs{machine}."
    return f"{recipe.name}: no machine in the price table meets its requirements: {_asked(recipe)}."


def _asked(recipe: Recipe) -> str:
    """The recipe's alternatives, for people."""
    words = []
    for resources in recipe.resources:
        place = "/".join(part or "*" for part in (resources.cloud, resources.region, resources.zone)).rstrip("/*")
        parts = (
            _listed(resources.accelerators),
            resources.instance_type,
            resources.cpus and f"{resources.cpus} vCPUs",
            resources.memory and f"{resources.memory} GiB",
            resources.max_hourly_cost and f"at most {resources.max_hourly_cost:f} USD/h",
            place and f"in {place}",
        )
        words.append(" ".join(part for part in parts if part))
    return "; or ".join(dict.fromkeys(words))


def _count_gap(wanted: Accelerator, offers: Iterable[Offer]) -> str | None:
    ways: dict[int, set[bool]] = {}
    for offer in offers:
        if offer.accelerator == wanted.name:
            ways.setdefault(offer.count, set()).add(offer.spot)
    counts = sorted(ways)
    if ways.get(wanted.count) == {True}:
        return f"{wanted} is sold as spot only: `--spot` asks for spot."
    if not counts or wanted.count in counts:
        return None
    return f"{wanted}: no machine has {wanted.count} of this GPU; available: {_listed(_some(wanted.name, counts))}."


def _some(name: str, counts: Iterable[int]) -> tuple[Accelerator, ...]:
    return tuple(parse(f"{name}:{count}") for count in counts)


def _taken(recipe: Recipe) -> tuple[Accelerator, ...]:
    return tuple(dict.fromkeys(a for resources in recipe.resources for a in resources.accelerators))


def _listed(accelerators: Iterable[Accelerator]) -> str:
    return ", ".join(str(a) for a in accelerators)


def _cheapest(rungs: Sequence[Rung]) -> str:
    priced = [rung.offer for rung in rungs if rung.offer.usd_per_hour is not None]
    if not priced:
        return "no machine has a known price"
    offer = priced[0]
    what = f"{offer.accelerator}:{offer.count}" if offer.accelerator else offer.instance_type
    return f"the cheapest is {offer.usd_per_hour:.2f} USD/h ({what} on {offer.cloud})"
