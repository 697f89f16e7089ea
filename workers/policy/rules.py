"""PURE: the section `rules` of a policy: who may do what, up to which limits. The first rule that matches decides."""

import re
from collections.abc import Callable
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from msgspec import Struct

from recipes import accelerators
from recipes.schema import RecipeError
from recipes.value import Value, shown
from workers.policy import groups as groups_
from workers.policy.groups import Groups
from workers.policy.usd import usd
from workers.settings_table import CLOUDS


class Right(StrEnum):
    """What a rule can allow, as the file writes it."""

    LOOK = "look"
    ASK = "ask"
    LAUNCH = "launch"
    SCALE = "scale"
    END = "end"
    SEE_KEYS = "see keys"
    SEE_LOGS = "see logs"
    APPROVE = "approve"


BY_DEFAULT = tuple(deed for deed in Right if deed is not Right.APPROVE)
"""What a rule without `may` allows, and what holds where no rule matches. Admins approve then."""

DIRECT = "direct"
"""Direct messages with the bot, in the channels of a rule."""
WHO_AND_WHAT = frozenset({"people", "channels", "may"})
"""Fields without which a rule allows more. One whose list was deleted or commented out is refused."""
_CHANNEL = re.compile(r"[CGD][A-Z0-9]{2,}")
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(?::[1-9][0-9]?)?")


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What some people may do in some channels."""

    people: tuple[str, ...] = ()
    """Ids of people (`U…`) and of Slack's user groups (`S…`), `everyone` (without guests), `guests`, or names from
    the section `groups`. All people if it is left out."""
    channels: tuple[str, ...] = ()
    """Ids of channels (`C…`) in which a deployment is launched, or `direct` for direct messages. All if left out."""
    may: tuple[Right, ...] | None = None
    """The deeds that are allowed: `look`, `ask`, `launch`, `scale`, `end`, `see keys`, `see logs`, `approve`. If it is
    left out: all of them except `approve`. `[]` allows nothing."""
    of_others: bool = False
    """Whether `scale`, `end` and `see keys` also hold for deployments that other people launched."""
    usd_per_hour: Decimal | None = None
    """Maximum USD per hour of one launch: all its replicas together."""
    usd_per_hour_at_once: Decimal | None = None
    """Maximum USD per hour of all deployments together that a person launched."""
    gpus: tuple[str, ...] = ()
    """The GPUs that may be rented, as in `--gpus`: `A100-80GB` or `A100-80GB:2`. All if it is left out."""
    clouds: tuple[str, ...] = ()
    """The clouds on which may be rented: `aws`, `gcp`, `local`. All if it is left out."""
    spot: bool = False
    """Whether only spot machines may be rented."""


def read(value: Value, groups: Groups | None = None) -> tuple[Rule, ...]:
    """The rules, in the order in which they are tried. Raises RecipeError with line and field."""
    return tuple(_rule(item, groups or {}) for item in value.items())


def _rule(value: Value, groups: Groups) -> Rule:
    fields = value.mapping()
    for name, field in fields.items():
        if name not in Rule.__struct_fields__:
            near = get_close_matches(name, Rule.__struct_fields__, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(Rule.__struct_fields__)}"
            raise field.refused(f"{shown(name)} is no field of a rule: {hint}")
    for name in WHO_AND_WHAT & fields.keys():
        if fields[name].empty or (name == "channels" and not fields[name].items()):
            raise fields[name].refused("is empty: list at least one, or leave the field out")
    readers: dict[str, Callable[[Value], Any]] = {
        "people": lambda field: groups_.people(field, groups),
        "channels": lambda field: tuple(_channel(item) for item in field.items()),
        "may": lambda field: tuple(dict.fromkeys(_deed(item) for item in field.items())),
        "of_others": Value.boolean,
        "usd_per_hour": usd,
        "usd_per_hour_at_once": usd,
        "gpus": lambda field: tuple(_gpu(item) for item in field.items()),
        "clouds": lambda field: tuple(_cloud(item) for item in field.items()),
        "spot": Value.boolean,
    }
    return Rule(**{name: readers[name](field) for name, field in fields.items() if not field.empty})


def _channel(item: Value) -> str:
    text = item.string()
    if text != DIRECT and not _CHANNEL.fullmatch(text):
        raise item.refused(f"must be the id of a channel (C…) or `{DIRECT}`, not {shown(text)}")
    return text


def _deed(item: Value) -> Right:
    text = item.string().strip().lower()
    if text in tuple(Right):
        return Right(text)
    near = get_close_matches(text, tuple(Right), n=1)
    hint = f"did you mean {near[0]}?" if near else f"the deeds are {', '.join(Right)}"
    raise item.refused(f"{shown(text)} is no deed: {hint}")


def _gpu(item: Value) -> str:
    text = item.string()
    if not _GPU.fullmatch(text):
        raise item.refused(f"must be a GPU, with or without a number, such as A100-80GB:2, not {shown(text)}")
    try:
        accelerators.parse(text)
    except RecipeError as error:
        raise item.refused(error.sentence) from error
    return text


def _cloud(item: Value) -> str:
    text = item.string().lower()
    if text not in CLOUDS:
        raise item.refused(f"must be one of {', '.join(CLOUDS)}, not {shown(text)}")
    return text
