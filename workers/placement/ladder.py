"""PURE: the ladder: the offers that satisfy a recipe and limits, in the order in which they are tried."""

from collections.abc import Callable, Sequence

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


Ladder = Callable[[Recipe, Limits], tuple[Sequence[Rung], str]]
"""Returns the rungs in order, and a sentence that explains why there are none (empty if there are rungs)."""
