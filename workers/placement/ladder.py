"""PURE: the ladder: the offers that satisfy a recipe and limits, in the order in which they are tried."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from recipes.schema import Recipe
from workers.placement.limits import Limits
from workers.placement.offer import Offer


class Rung(Struct, frozen=True, kw_only=True):
    """An offer that satisfies the recipe, and whether a machine can be requested from it."""

    offer: Offer
    usable: bool
    reason: str | None = None
    mend: str | None = None


def considered(rungs: Iterable[Rung]) -> tuple[Rung, ...]:
    """The usable rungs; all of them if none is usable: the process that launches may have what this one lacks.

    Prices, GPUs and budgets are judged by them, so that a process without credentials does not take a launch for free.
    """
    every = tuple(rungs)
    return tuple(rung for rung in every if rung.usable) or every


Ladder = Callable[[Recipe, Limits], tuple[Sequence[Rung], str]]
"""Returns the rungs in order, and a sentence that explains why there are none (empty if there are rungs)."""
