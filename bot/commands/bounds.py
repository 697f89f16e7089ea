"""PURE: the refusal of a number of replicas that a recipe does not allow."""

from bot.views.amounts import count
from bot.views.escape import escape
from recipes.replicas import bounds
from recipes.schema import Recipe

POLICY = "`service.replica_policy`"


def out_of_bounds(recipe: Recipe, replicas: int) -> str | None:
    """Why the recipe does not allow this number, with its field and the fix; None if it does."""
    minimum, maximum = bounds(recipe)
    name = escape(recipe.name)
    if replicas > maximum:
        return (
            f"The recipe {name} allows at most {count(maximum, 'replica')} (`max_replicas` in {POLICY}). "
            f"Ask for {maximum} or fewer; or raise it in the recipe, and launch again."
        )
    if replicas < minimum:
        return (
            f"The recipe {name} scales by load, with at least {count(minimum, 'replica')} (`min_replicas` in "
            f"{POLICY}): {replicas} would be raised immediately. Ask for {minimum} or more; or lower it in the recipe, "
            "and launch again."
        )
    return None
