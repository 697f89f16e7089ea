"""PURE: amounts of money in a policy, which are in USD."""

import re
from decimal import Decimal, InvalidOperation

from recipes.value import Value, shown

_AMOUNT = re.compile(r"(?:usd\s*|\$\s*)?([+-]?[0-9][0-9_]*(?:\.[0-9]+)?)(?:\s*usd)?", re.IGNORECASE)
MAX = Decimal(1_000_000_000)


def usd(value: Value) -> Decimal:
    """An amount that is not negative: `60`, `12.50` or `60 USD`. Raises RecipeError, also for another currency."""
    text = value.string().strip()
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise value.refused(f"must be an amount in USD, such as 60 or 12.50, not {shown(text)}")
    try:
        amount = Decimal(found[1].replace("_", ""))
    except InvalidOperation:
        raise value.refused(f"must be an amount in USD, such as 60 or 12.50, not {shown(text)}") from None
    if amount < 0:
        raise value.refused(f"must not be negative, and is {shown(text)}")
    if amount > MAX:
        raise value.refused(f"must be at most {MAX:,} USD, not {shown(text)}")
    return amount
