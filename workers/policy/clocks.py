"""PURE: the section `clocks` of a policy: when deployments end or pause if neither launch nor recipe says so."""

from datetime import timedelta

from msgspec import Struct

from recipes.clock_fields import FIELDS, read_fields, span
from recipes.value import Value

POLICY_FIELDS = {**FIELDS, "most_lasts": span}


class Clocks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The defaults of all launches. None: a deployment runs until a person ends it."""

    lasts: timedelta | None = None
    """Time from the launch to the end."""
    stop_after_idle: timedelta | None = None
    """Time without a request after which a deployment ends."""
    hours: str = ""
    """The hours outside which it pauses at 0 replicas, as `recipes.hours` writes them."""
    most_lasts: timedelta | None = None
    """Maximum time from the launch to the end, also where the launch or the recipe says another one."""


def read(value: Value) -> Clocks:
    """Raises RecipeError with line and field."""
    return Clocks(**read_fields(value, POLICY_FIELDS, "the section clocks"))
