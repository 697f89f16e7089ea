"""PURE: the section `clocks` of a recipe: when its deployments end or pause if the launch does not say so."""

import re
from collections.abc import Callable
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from recipes.hours import InvalidHours, hours_of
from recipes.schema import RecipeClocks
from recipes.value import Value, shown

SHORTEST = timedelta(minutes=30)
LONGEST = timedelta(days=90)

_SPAN = re.compile(r"(?:([0-9]{1,2})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?")


def span(value: Value) -> timedelta:
    """A time as `--for` takes it. Raises RecipeError."""
    text = value.string()
    found = _SPAN.fullmatch(text)
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    length = timedelta(days=days, hours=hours, minutes=minutes)
    if not SHORTEST <= length <= LONGEST:
        raise value.refused(f"{shown(text)} is no time from 30m to 90d, such as 8h, 90m or 1d12h")
    return length


def _hours(value: Value) -> str:
    try:
        return hours_of(value.string()).text
    except InvalidHours as wrong:
        raise value.refused(str(wrong).rstrip(".")) from wrong


FIELDS: dict[str, Callable[[Value], Any]] = {"lasts": span, "stop_after_idle": span, "hours": _hours}


def read_fields(value: Value, known: dict[str, Callable[[Value], Any]], where: str) -> dict[str, Any]:
    """The fields that are given, each read as `known` says. Raises RecipeError for one that is not known."""
    found: dict[str, Any] = {}
    for name, field in value.mapping().items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(known)}"
            raise field.refused(f"{shown(name)} is no field of {where}: {hint}")
        if not field.empty:
            found[name] = known[name](field)
    return found


def read(value: Value | None) -> RecipeClocks | None:
    """Raises RecipeError with line and field."""
    return None if value is None or value.empty else RecipeClocks(**read_fields(value, FIELDS, "the section clocks"))
