"""The clocks of a launch: those of the command, else of the recipe, else of the policy, whose maximum always holds."""

from datetime import datetime, timedelta

from msgspec import Struct

from bot.language.command import Launch
from bot.views.amounts import duration, moment
from bot.views.escape import escape
from recipes import schema
from recipes.hours import hours_of, is_open, opens_after
from workers.policy.clocks import Clocks


class LaunchClocks(Struct, frozen=True, kw_only=True):
    """When a deployment ends or pauses without a person."""

    until: datetime | None
    stop_after_idle: timedelta | None
    hours: str
    shortened: bool = False
    """Whether the policy's maximum moved the end."""


def clocks_of(
    command: Launch, asked: datetime | None, recipe: schema.Recipe, policy: Clocks, now: datetime
) -> LaunchClocks:
    """`asked`: the end that the command gives; None if it gives none."""
    own = recipe.clocks if isinstance(recipe.clocks, schema.RecipeClocks) else schema.RecipeClocks()
    lasts = own.lasts or policy.lasts
    until = asked or (now + lasts if lasts else None)
    latest = now + policy.most_lasts if policy.most_lasts else None
    shortened = latest is not None and (until is None or until > latest)
    return LaunchClocks(
        until=latest if shortened else until,
        stop_after_idle=command.stop_after_idle or own.stop_after_idle or policy.stop_after_idle,
        hours=command.hours or own.hours or policy.hours,
        shortened=shortened,
    )


def said(clocks: LaunchClocks, now: datetime) -> str:
    """The sentences about the clocks of a launch; empty without any."""
    because = ", because the policy allows no later end" if clocks.shortened else ""
    ends = f"It ends {moment(clocks.until)}{because}." if clocks.until else ""
    idle = f"It ends after {duration(clocks.stop_after_idle)} without a request." if clocks.stop_after_idle else ""
    return " ".join(filter(None, (ends, idle, _pauses(clocks, now))))


def _pauses(clocks: LaunchClocks, now: datetime) -> str:
    """When it pauses; if that is now, when it starts."""
    if not clocks.hours:
        return ""
    hours = hours_of(clocks.hours)
    pauses = f"It pauses outside {escape(clocks.hours)}."
    if is_open(hours, now):
        return pauses
    opens = opens_after(hours, now)
    if clocks.until is not None and clocks.until <= opens:
        return f"{pauses} It does not start before its end, because its hours begin {moment(opens)}."
    return f"{pauses} It starts {moment(opens)}."
