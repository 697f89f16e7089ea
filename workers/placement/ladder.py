"""PURE: a ladder: the offers that satisfy a recipe within limits, in the order in which they are tried."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from recipes.schema import Recipe
from workers.placement.limits import Limits
from workers.placement.offer import Offer


class Rung(Struct, frozen=True, kw_only=True):
    """One step of the ladder: an offer that satisfies the recipe, and whether it can be taken."""

    offer: Offer
    usable: bool
    reason: str | None = None
    mend: str | None = None


Ladder = Callable[[Recipe, Limits], tuple[Sequence[Rung], str]]
"""The rungs for a recipe within limits, cheapest first, and why there is none (empty where there are some)."""
