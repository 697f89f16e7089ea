"""PURE: the section `budgets` of a policy: how many USD a deployment, person, channel or installation may spend."""

from msgspec import Struct

from recipes.value import Value


class Budgets(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No budget: purchases are not limited."""

    zone: str = "UTC"
    """Time zone in which days and months begin."""


def read(value: Value) -> Budgets:
    """Raises RecipeError with line and field."""
    value.mapping()
    return Budgets()
