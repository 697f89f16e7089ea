"""PURE: the section `clocks` of a policy: when deployments end or pause if neither launch nor recipe says so."""

from msgspec import Struct

from recipes.value import Value


class Clocks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No clock: a deployment runs until a person ends it."""


def read(value: Value) -> Clocks:
    """Raises RecipeError with line and field."""
    value.mapping()
    return Clocks()
