"""PURE: the section `budgets` of a policy: how many USD a deployment, person, channel or installation may spend."""

import re
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct

from recipes.schema import RecipeError
from recipes.value import MAX_NUMBER, Value, shown

FIELDS = ("zone", "limits")
LIMIT_FIELDS = ("scope", "of", "day", "month", "then", "currency")
CURRENCY = "USD"

Word = TypeVar("Word", bound=StrEnum)


class BudgetScope(StrEnum):
    """Of whom or what the costs are added up."""

    INSTALLATION = "installation"
    PERSON = "person"  # the deployments that one person launched
    CHANNEL = "channel"  # the deployments that were launched in one channel
    DEPLOYMENT = "deployment"  # all deployments of one name


IDS = {
    BudgetScope.PERSON: re.compile(r"[UW][A-Z0-9]+"),
    BudgetScope.CHANNEL: re.compile(r"[CDG][A-Z0-9]+"),
    BudgetScope.DEPLOYMENT: re.compile(r"[a-z0-9][a-z0-9-]*"),
}
SHAPES = {
    BudgetScope.PERSON: "ids of people, such as U0123ABCD",
    BudgetScope.CHANNEL: "ids of channels, such as C0123ABCD",
    BudgetScope.DEPLOYMENT: "names of deployments, such as fast",
}


class Then(StrEnum):
    """What happens when a budget is used up. In both cases nothing further is bought."""

    WARN = "warn"  # what runs goes on
    STOP = "stop"  # what runs ends, announced 15 minutes before


class BudgetPeriod(StrEnum):
    """The length of a window. A window begins at midnight in the zone of the section."""

    DAY = "day"
    MONTH = "month"


class Budget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A limit of each person, channel or deployment in `of`, or of the installation."""

    scope: BudgetScope
    of: tuple[str, ...] = ()
    """Ids, or names of deployments. Empty: each that no other budget of this scope and period names."""
    day: Decimal | None = None
    month: Decimal | None = None
    then: Then = Then.WARN

    def limit(self, period: BudgetPeriod) -> Decimal | None:
        """USD; None if this period has no limit."""
        return self.day if period is BudgetPeriod.DAY else self.month


class BudgetPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """No budget: purchases are not limited."""

    zone: str = "UTC"
    """Time zone in which days and months begin."""
    limits: tuple[Budget, ...] = ()


def read(value: Value) -> BudgetPolicy:
    """Raises RecipeError with line and field."""
    fields = _fields(value, FIELDS, "the section budgets")
    zone = _zone(fields["zone"]) if "zone" in fields else "UTC"
    items = fields["limits"].items() if "limits" in fields else ()
    limits: list[Budget] = []
    for item in items:
        budget = _budget(item)
        _refuse_duplicate(item, budget, limits)
        limits.append(budget)
    return BudgetPolicy(zone=zone, limits=tuple(limits))


def _fields(value: Value, known: tuple[str, ...], where: str) -> dict[str, Value]:
    fields = value.mapping()
    for name, found in fields.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(known)}"
            raise found.refused(f"{shown(name)} is no field of {where}: {hint}")
    return fields


def _zone(value: Value) -> str:
    name = value.string()
    zones = available_timezones()
    if name in zones:
        ZoneInfo(name)
        return name
    near = get_close_matches(name, zones, n=1)
    hint = f"did you mean {near[0]}?" if near else "write one as Europe/Paris"
    raise value.refused(f"the time zone {shown(name)} does not exist: {hint}")


def _budget(item: Value) -> Budget:
    fields = _fields(item, LIMIT_FIELDS, "a budget")
    if "scope" not in fields:
        raise item.refused(f"a budget needs a scope: {', '.join(BudgetScope)}")
    scope = _word(fields["scope"], BudgetScope, "scope")
    if "currency" in fields and fields["currency"].string() != CURRENCY:
        raise _other_currency(fields["currency"])
    day, month = (_amount(fields[name]) if name in fields else None for name in ("day", "month"))
    if day is None and month is None:
        raise item.refused("a budget needs an amount in USD: day, month, or both")
    return Budget(
        scope=scope,
        of=_of(fields["of"], scope) if "of" in fields else (),
        day=day,
        month=month,
        then=_word(fields["then"], Then, "then") if "then" in fields else Then.WARN,
    )


def _word(value: Value, words: type[Word], field: str) -> Word:
    text = value.string()
    if text not in list(words):
        raise value.refused(f"{shown(text)} is no {field} of a budget: it is one of {', '.join(words)}")
    return words(text)


def _amount(value: Value) -> Decimal:
    """USD, as `50`, `49.90` or `50 USD`."""
    text = value.string().strip()
    number, _, unit = text.partition(" ")
    if unit and unit != CURRENCY:
        raise _other_currency(value)
    try:
        amount = Decimal(number)
    except InvalidOperation:
        raise value.refused(f"must be an amount in USD, such as 50 or 49.90, not {shown(text)}") from None
    if not amount.is_finite() or amount > MAX_NUMBER:
        raise value.refused(f"must be an amount of ordinary size, not {shown(text)}")
    if amount < 0:
        raise value.refused(f"must not be negative, and is {shown(text)}. 0 forbids every purchase")
    return amount


def _other_currency(value: Value) -> RecipeError:
    return value.refused(f"the currency of a budget is USD, not {shown(value.string())}: prices are in USD")


def _of(value: Value, scope: BudgetScope) -> tuple[str, ...]:
    if scope is BudgetScope.INSTALLATION:
        raise value.refused("a budget of the installation has no `of`: there is one installation")
    names = [item.string() for item in value.items()]
    if not names:
        raise value.refused(f"must list {SHAPES[scope]}; without `of` the budget holds for each")
    for item, name in zip(value.items(), names, strict=True):
        if not IDS[scope].fullmatch(name):
            raise item.refused(f"must be one of {SHAPES[scope]}, not {shown(name)}")
    return tuple(dict.fromkeys(names))


def _refuse_duplicate(item: Value, budget: Budget, earlier: list[Budget]) -> None:
    """Two limits for the same person, channel, deployment or installation, and the same period, contradict."""
    for other in earlier:
        periods = [p for p in BudgetPeriod if budget.limit(p) is not None and other.limit(p) is not None]
        if other.scope is not budget.scope or not periods:
            continue
        both = [name for name in budget.of if name in other.of]
        if both or (not budget.of and not other.of):
            whose = f"the {budget.scope} {both[0]}" if both else _each(budget.scope)
            raise item.refused(f"{whose} has a budget per {periods[0]} already: remove one of them")


def _each(scope: BudgetScope) -> str:
    return "the installation" if scope is BudgetScope.INSTALLATION else f"each {scope}"
