"""PURE: what narrows a ladder of offers."""

from decimal import Decimal

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """What the person who launched allowed: it narrows the ladder."""

    spot: bool = False
    gpus: tuple[str, ...] = ()
    clouds: tuple[str, ...] = ()
    max_price: Decimal | None = None
    """USD per hour and replica."""
