"""PURE: the refusal of a number of replicas that a recipe does not allow."""

from bot.views.amounts import count
from bot.views.escape import escape
from recipes.replicas import bounds
from recipes.schema import Recipe

POLICY = "`service.replica_policy`"


def out_of_bounds(recipe: Recipe, replicas: int) -> str | None:
    """Why the recipe does not allow this number, with its field and the fix; None if it does."""
    least, most = bounds(recipe)
    name = escape(recipe.name)
    if replicas > most:
        return (
            f"The recipe {name} allows at most {count(most, 'replica')} (`max_replicas` in {POLICY}). "
            f"Ask for {most} or fewer; or raise it in the recipe, and launch again."
        )
    if replicas < least:
        return (
            f"The recipe {name} scales by load, with at least {count(least, 'replica')} (`min_replicas` in {POLICY}): "
            f"{replicas} would be raised immediately. Ask for {least} or more; or lower it in the recipe, and "
            "launch again."
        )
    return None
