"""PURE: the limits of a launch command."""

from decimal import Decimal

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Restrictions that the launcher puts on the ladder."""

    spot: bool = False
    gpus: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    max_price: Decimal | None = None
    """Maximum price of a replica, in USD per hour; None for no limit."""


NO_LIMITS = Limits()
