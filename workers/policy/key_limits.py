"""PURE: the section `keys` of a policy: how much one key may ask of an endpoint."""

from msgspec import Struct

from recipes.value import Value


class KeyLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of each key."""


def read(value: Value) -> KeyLimits:
    """Raises RecipeError with line and field."""
    value.mapping()
    return KeyLimits()
