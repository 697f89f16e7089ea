"""PURE: the section `approvals` of a policy: above which thresholds a launch or scale waits for an approver."""

from decimal import Decimal

from msgspec import Struct

from recipes.value import Value


class Approvals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No threshold: nothing waits for an approver."""

    usd_per_hour: Decimal | None = None


def read(value: Value) -> Approvals:
    """Raises RecipeError with line and field."""
    value.mapping()
    return Approvals()
