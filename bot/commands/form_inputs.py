"""PURE: the values of the launch form as a launch command. A payload may be forged, so each is validated."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from bot.commands.errors import CommandError, WrongInput
from bot.language.command import SLASH, Launch
from bot.language.end_times import hours as hours_of
from bot.language.end_times import lasts, span
from bot.language.grammar import IDLE, parse
from bot.language.typed_text import plain
from bot.language.values import InvalidValue, Options, environment, shown
from bot.language.values import limits as limits_of
from bot.language.values import name as name_of
from bot.language.values import replicas as replicas_of
from bot.slack.message import JSON
from bot.views import launch_form as form
from bot.views.launch_form import Entered
from recipes.hidden import hidden

MAX_LISTED = 100
NOTHING_YET = "Nothing was started."
LATEST = 32_503_680_000
"""The year 3000 as Unix time."""
HIDDEN = "…"
"""Stands for the value of a variable in a suggestion, which does not repeat it."""

_FLAG = re.compile(r"`?--[a-z-]+`?:?(?: is| takes)? ")
"""The name of an option in a sentence, with its verb."""

Value = TypeVar("Value")


def entered_of(command: Launch, *, default: str, channel: str, until: datetime | None = None) -> Entered:
    """The values with which the form of a launch command begins. `until`: when it is to end."""
    limits = command.limits
    return Entered(
        recipe=command.recipe or default,
        name=command.name or "",
        spot=limits.spot,
        gpus=limits.gpus,
        clouds=limits.clouds,
        max_price="" if limits.max_price is None else f"{limits.max_price:f}",
        replicas="" if command.replicas is None else str(command.replicas),
        until=int(until.timestamp()) if until else 0,
        variables={name: value for name, value in command.env.items() if value != HIDDEN},
        channel=channel,
        stop_after_idle=span(command.stop_after_idle) if command.stop_after_idle else "",
        hours=command.hours or "",
    )


def launch_text(value: str) -> Launch:
    """The launch command in a button's value; one without options if it has none."""
    command = parse(value.removeprefix(SLASH))
    return command if isinstance(command, Launch) else Launch()


def read(values: JSON) -> Entered:
    """The values of a view's state. Raises WrongInput."""
    recipe = shown(_text(_first(_block(values, form.RECIPE), "selected_option"), form.RECIPE, "value"), 100)
    prefix = form.of_recipe(form.ENV, recipe) + ":"
    given = [(block, block.removeprefix(prefix)) for block in values if block.startswith(prefix)]
    env = {variable: _text(_block(values, block), block, "value").strip() for block, variable in given[:MAX_LISTED]}
    return Entered(
        recipe=recipe,
        name=plain(_text(_block(values, form.NAME), form.NAME, "value")),
        spot=bool(_block(values, form.SPOT).get("selected_options")),
        gpus=_chosen(values, form.of_recipe(form.GPUS, recipe)),
        clouds=_chosen(values, form.of_recipe(form.CLOUDS, recipe)),
        max_price=_text(_block(values, form.MAX_PRICE), form.MAX_PRICE, "value").strip(),
        replicas=_text(_block(values, form.REPLICAS), form.REPLICAS, "value").strip(),
        until=_moment(_block(values, form.UNTIL).get("selected_date_time")),
        variables=env,
        channel=_text(_block(values, form.CHANNEL), form.CHANNEL, "selected_conversation"),
    )


def command_of(entered: Entered, zone: tzinfo = UTC) -> Launch:
    """The launch that the form asks for. Raises WrongInput, which names the input. `zone`: of the person."""
    flags = [("--spot", "")] if entered.spot else []
    command = Launch(
        recipe=entered.recipe,
        name=_valid(form.NAME, lambda: name_of(entered.name)) if entered.name else None,
        replicas=_valid(form.REPLICAS, lambda: replicas_of(entered.replicas, "")) if entered.replicas else None,
        env=_environment(entered),
        until=datetime.fromtimestamp(entered.until, zone).replace(tzinfo=None) if entered.until else None,
        **_clocks(entered),
    )
    limits = command.limits
    for block, flag, value in (
        (form.of_recipe(form.GPUS, entered.recipe), "--gpus", ",".join(entered.gpus)),
        (form.of_recipe(form.CLOUDS, entered.recipe), "--clouds", ",".join(entered.clouds)),
        (form.MAX_PRICE, "--max-price", entered.max_price),
    ):
        if value:
            flags.append((flag, value))
        limits = _valid(block, partial(limits_of, Options(words=(), flags=tuple(flags))))
    return replace(command, limits=limits)


def _clocks(entered: Entered) -> dict[str, Any]:
    try:
        return {
            "stop_after_idle": lasts(entered.stop_after_idle, IDLE) if entered.stop_after_idle else None,
            "hours": hours_of(entered.hours) if entered.hours else None,
        }
    except InvalidValue as wrong:  # a forged payload
        raise CommandError(wrong.sentence) from wrong


def at_input(error: CommandError, entered: Entered) -> CommandError:
    """The error at the input that it is about."""
    block = _block_of(error, entered)
    return error if block is None else WrongInput(block, without_flags(error.sentence))


def without_flags(sentence: str) -> str:
    """A sentence about an option of a command as one about an input: `--until 18:00 is over` is `18:00 is over`."""
    rest = _FLAG.sub("", sentence)
    return rest[:1].upper() + rest[1:]


def _block_of(error: CommandError, entered: Entered) -> str | None:
    match error.about:
        case None | "recipe":
            return None
        case "limits" if entered.max_price:
            return form.MAX_PRICE
        case "limits" if entered.gpus:
            return form.of_recipe(form.GPUS, entered.recipe)
        case "limits" if entered.clouds:
            return form.of_recipe(form.CLOUDS, entered.recipe)
        case "limits":
            return form.SPOT
        case "channel":
            return form.CHANNEL if entered.channel else None
        case about:
            return about


def _environment(entered: Entered) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in entered.variables.items():
        if value:
            found |= _valid(form.of_recipe(form.ENV, entered.recipe, name), partial(environment, [f"{name}={value}"]))
    return found


def _valid(block: str, read_: Callable[[], Value]) -> Value:
    try:
        return read_()
    except InvalidValue as wrong:
        raise WrongInput(block, without_flags(wrong.sentence)) from wrong


def _chosen(values: JSON, block: str) -> tuple[str, ...]:
    options = _block(values, block).get("selected_options")
    chosen = options if isinstance(options, list) else []
    if len(chosen) > MAX_LISTED:
        raise WrongInput(block, f"{len(chosen):,} are chosen; at most {MAX_LISTED} fit.")
    return tuple(_text(option, block, "value") for option in chosen)


def _block(values: JSON, block: str) -> JSON:
    return _only(values.get(block))


def _only(actions: Any) -> JSON:
    """The value of a block's only element; empty if it has none."""
    return next((v for v in actions.values() if isinstance(v, dict)), {}) if isinstance(actions, dict) else {}


def _moment(value: Any) -> int:
    """Whole minutes, as in a command; 0 if it is no Unix time."""
    return value // 60 * 60 if isinstance(value, int) and 0 < value <= LATEST else 0


def _first(value: JSON, field: str) -> JSON:
    inner = value.get(field)
    return inner if isinstance(inner, dict) else {}


def _text(value: Any, block: str, field: str) -> str:
    text = value.get(field) if isinstance(value, dict) else None
    if not isinstance(text, str):
        return ""
    if mark := hidden(text):
        raise WrongInput(
            block, f"This contains the hidden character {mark}: type it instead of pasting it. {NOTHING_YET}"
        )
    if len(text) > form.MAX_TEXT:
        raise WrongInput(block, f"This has {len(text):,} characters; at most {form.MAX_TEXT:,} fit. {NOTHING_YET}")
    return text
