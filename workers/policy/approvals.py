"""PURE: the section `approvals` of a policy: above which thresholds a launch or scale waits for an approver."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

from msgspec import Struct

from recipes.schema import RecipeError
from recipes.value import Value, shown

EXPIRES = timedelta(hours=24)
MAX_EXPIRES = timedelta(days=7)
MAX_APPROVERS = 20
MAX_AMOUNT = 1_000_000
"""Of hours and of USD per hour."""
_PERSON = re.compile(r"[UW][A-Z0-9]{2,}")
_LENGTH = re.compile(r"([1-9][0-9]{0,3})\s*(m|min|h|d)")
_UNITS = {"m": timedelta(minutes=1), "min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class Approvals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No threshold: nothing waits for an approver."""

    usd_per_hour: Decimal | None = None
    """A launch or scale waits if its replicas cost more at the cheapest offer. Without an approval, the ceiling of a
    deployment is at most this."""
    gpus: int | None = None
    """A launch or scale waits if it may rent more GPUs than this."""
    hours: Decimal | None = None
    """A launch waits if it lasts longer than so many hours, or has no end."""
    budget_share: int | None = None
    """A launch or scale waits if a day of its replicas costs more than this percentage of what is left of the tightest
    budget that holds for it."""
    approvers: tuple[str, ...] = ()
    """Ids of people (`U…`). The admins approve, too."""
    own: bool = False
    """Whether an approver may approve what they asked for themselves."""
    expires: timedelta = EXPIRES
    """Time after which a request can no longer be approved: `30min`, `8h`, `2d`; at most 7 days."""


def read(value: Value) -> Approvals:
    """Raises RecipeError with line and field."""
    readers: dict[str, Callable[[Value], Any]] = {
        "usd_per_hour": _amount,
        "gpus": lambda field: field.whole(minimum=0),
        "hours": _amount,
        "budget_share": lambda field: field.whole(minimum=0, maximum=100),
        "approvers": _people,
        "own": Value.boolean,
        "expires": _length,
    }
    fields = value.mapping()
    for name, field in fields.items():
        if name not in readers:
            near = get_close_matches(name, readers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(readers)}"
            raise field.refused(f"{shown(name)} is no field of the approvals: {hint}")
    return Approvals(**{name: readers[name](field) for name, field in fields.items() if not field.empty})


def needs(
    approvals: Approvals,
    *,
    usd: Decimal,
    gpus: int,
    lasts: timedelta | None = None,
    ends: bool = True,
    left: Decimal | None = None,
) -> str:
    """Why an approver is needed, as a clause; empty if none is. `usd`: per hour, of all replicas.

    `lasts`: the time from a launch to its end; None for a scale. `ends`: whether a launch has an end.
    `left`: USD of the tightest budget that holds for it; None without one.
    """
    most = approvals
    if most.usd_per_hour is not None and usd > most.usd_per_hour:
        return f"it costs {usd:,.2f} USD/h, and more than {most.usd_per_hour:,.2f} USD/h needs an approval"
    if most.gpus is not None and gpus > most.gpus:
        return f"it may rent {gpus} GPUs, and more than {most.gpus} need an approval"
    if most.hours is not None and not ends:
        return f"it has no end, and more than {most.hours:f} hours need an approval (`--for 8h` sets an end)"
    if most.hours is not None and lasts is not None and lasts > timedelta(hours=float(most.hours)):
        return f"it lasts {lasts.total_seconds() / 3600:.1f} hours, and more than {most.hours:f} need an approval"
    share = most.budget_share
    if share is not None and left is not None and usd * 24 > max(left, Decimal(0)) * share / 100:
        return (
            f"a day of it costs {usd * 24:,.2f} USD, and more than {share} % of the {left:,.2f} USD that are left of "
            "the budget needs an approval"
        )
    return ""


def _amount(value: Value) -> Decimal:
    try:
        value.number()
        number = Decimal(value.text.strip())  # which 0x10 is not, although it is a number in YAML
    except (RecipeError, InvalidOperation) as error:
        raise value.refused(f"must be a number, in USD for a price, not {shown(value.text)}") from error
    if number < 0:
        raise value.refused(f"must not be negative, not {shown(value.text)}")
    if number > MAX_AMOUNT:
        raise value.refused(f"must be at most {MAX_AMOUNT:,}, not {shown(value.text)}")
    return number


def _people(value: Value) -> tuple[str, ...]:
    found = []
    for item in value.items():
        if not _PERSON.fullmatch(item.string()):
            raise item.refused(f"must be the id of a person (U…), not {shown(item.text)}")
        found.append(item.string())
    if len(found) > MAX_APPROVERS:
        raise value.refused(f"must be at most {MAX_APPROVERS} people, because each gets a message")
    return tuple(dict.fromkeys(found))


def _length(value: Value) -> timedelta:
    found = _LENGTH.fullmatch(value.string().strip())
    length = int(found[1]) * _UNITS[found[2]] if found else timedelta(0)
    if not timedelta(minutes=5) <= length <= MAX_EXPIRES:
        raise value.refused(f"must be a time from 5min to 7d, such as 8h, not {shown(value.text)}")
    return length
