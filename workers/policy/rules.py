"""PURE: the section `rules` of a policy: who may do what, and up to which limits."""

from msgspec import Struct

from recipes.value import Value


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What some people may do in some channels."""


def read(value: Value) -> tuple[Rule, ...]:
    """Raises RecipeError with line and field."""
    return tuple(Rule() for _ in value.items())
