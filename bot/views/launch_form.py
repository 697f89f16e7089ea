"""PURE: the form of a launch: a modal whose price follows its values."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bot.views import offers
from bot.views.blocks import Block, context, plain, section
from bot.views.escape import escape, unmarked

CALLBACK = "launch_a_model"
ACTION = "launching"
"""Prefix of the action ids of inputs that change the price."""

# Block ids. Inputs of one recipe have its name after a colon, so that Slack forgets their values with the recipe.
RECIPE, NAME, SPOT, GPUS, CLOUDS, MAX_PRICE, REPLICAS, UNTIL, ENV, CHANNEL = (
    "recipe", "name", "spot", "gpus", "clouds", "max_price", "replicas", "until", "env", "channel"
)  # fmt: skip
PRICE = "price"

MAX_OPTIONS = 100
MAX_OPTION = 75
MAX_ENV = 20
MAX_TEXT = 3000
MAX_LABEL = 150
DATES = range(10**9, 10**10)
"""Unix times that Slack takes: those of ten digits."""

AT_EACH_CHARACTER = {"trigger_actions_on": ["on_character_entered"]}


class Entered(Struct, frozen=True, kw_only=True):
    """The values of the form as they were entered."""

    recipe: str
    name: str = ""
    spot: bool = False
    gpus: tuple[str, ...] = ()
    """Each as `A100-80GB:2`."""
    clouds: tuple[str, ...] = ()
    max_price: str = ""
    replicas: str = ""
    until: int = 0
    """Unix time at which it ends; 0: not given."""
    variables: dict[str, str] = {}
    channel: str = ""
    stop_after_idle: str = ""
    """As `--stop-after-idle` takes it; it has no input, and is kept from the command that opened the form."""
    hours: str = ""
    """As `--hours` takes it, likewise."""


class Offered(Struct, frozen=True, kw_only=True):
    """What can be chosen, and what it costs."""

    recipes: Sequence[tuple[str, str]]
    """The name of each recipe, and its price in words."""
    name: str
    """The name that the deployment gets if none is entered."""
    replicas: tuple[int, int, int]
    """The number if none is entered, and the bounds."""
    gpus: Sequence[str]
    clouds: Sequence[str]
    variables: Sequence[str] = ()
    """The variables that need a value."""
    given: Sequence[str] = ()
    """Others that have a value in the recipe, and another one in the command."""
    secrets: Sequence[str] = ()
    """Of these the ones that are secrets: they have no input."""
    price: str
    """mrkdwn."""


def modal(entered: Entered, offered: Offered, *, draft: str, asks_channel: bool) -> dict[str, Any]:
    """`draft`: the id of the stored draft. `asks_channel`: whether the channel is an input."""
    blocks = [
        _recipe(entered, offered),
        section(offered.price) | {"block_id": PRICE},
        *_clocks_kept(entered),
        *([_channel(entered)] if asks_channel else []),
        _spot(entered),
        *_gpus(entered, offered),
        *_clouds(entered, offered),
        _max_price(entered),
        _replicas(entered, offered),
        _until(entered),
        _name(entered, offered),
        *_env(entered, offered),
    ]
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": draft,
        "title": plain("Launch a model", 24),
        "submit": plain("Launch", 24),
        "close": plain("Cancel", 24),
        "blocks": blocks,
    }


def repriced(shown: dict[str, Any], price: str) -> dict[str, Any]:
    """The form as Slack shows it, with another text in place of the price."""
    parts = ("type", "callback_id", "private_metadata", "title", "submit", "close", "blocks")
    priced = section(price) | {"block_id": PRICE}
    blocks = [priced if block.get("block_id") == PRICE else block for block in shown.get("blocks") or ()]
    return {part: shown[part] for part in parts if part in shown} | {"blocks": blocks}


def of_recipe(block: str, recipe: str, more: str = "") -> str:
    """The block id of an input that only this recipe has."""
    return ":".join((block, recipe, more) if more else (block, recipe))


def _clocks_kept(entered: Entered) -> list[Block]:
    idle = f"ends after {entered.stop_after_idle} without a request" if entered.stop_after_idle else ""
    hours = f"pauses outside {entered.hours}" if entered.hours else ""
    kept = " and ".join(filter(None, (idle, hours)))
    return [context(f"The command sets that it {escape(kept)}.")] if kept else []


def _recipe(entered: Entered, offered: Offered) -> Block:
    options = [_option(f"{name}: {price}", name) for name, price in _first(offered.recipes, entered.recipe)]
    chosen = next((o for o in options if o["value"] == entered.recipe), options[0])
    return _input(RECIPE, "Recipe", _select("static_select", RECIPE, options) | {"initial_option": chosen})


def _first(recipes: Sequence[tuple[str, str]], chosen: str) -> list[tuple[str, str]]:
    """The first ones up to the maximum of a select, and the chosen one."""
    shown = list(recipes[:MAX_OPTIONS])
    others = [recipe for recipe in recipes[MAX_OPTIONS:] if recipe[0] == chosen]
    return [*shown[: MAX_OPTIONS - len(others)], *others]


def _channel(entered: Entered) -> Block:
    element: Block = {
        "type": "conversations_select",
        "action_id": CHANNEL,
        "filter": {"include": ["public", "private", "im"]},
    }
    if entered.channel:
        element["initial_conversation"] = entered.channel
    hint = "The card appears there. People who can read it can ask the model."
    return _input(CHANNEL, "Channel", element, hint=hint, follows=False)


def _spot(entered: Entered) -> Block:
    option = _option("Spot: cheaper, and the cloud may end the machine at any time", "spot")
    element: Block = {"type": "checkboxes", "action_id": f"{ACTION}_{SPOT}", "options": [option]}
    initial = {"initial_options": [option]} if entered.spot else {}
    return _input(SPOT, "Machines", element | initial, optional=True)


def _gpus(entered: Entered, offered: Offered) -> list[Block]:
    if len(offered.gpus) < 2 and not entered.gpus:  # noqa: PLR2004 - one is no choice
        return []
    options = [_option(_gpu(gpu), gpu) for gpu in _all(offered.gpus, entered.gpus)]
    element = _multi(GPUS, options, entered.gpus, "All GPUs that the recipe accepts")
    return [_input(of_recipe(GPUS, entered.recipe), "GPUs of a replica", element, optional=True)]


def _clouds(entered: Entered, offered: Offered) -> list[Block]:
    if len(offered.clouds) < 2 and not entered.clouds:  # noqa: PLR2004 - one is no choice
        return []
    options = [_option(offers.cloud(cloud), cloud) for cloud in _all(offered.clouds, entered.clouds)]
    element = _multi(CLOUDS, options, entered.clouds, "All usable clouds")
    return [_input(of_recipe(CLOUDS, entered.recipe), "Clouds", element, optional=True)]


def _max_price(entered: Entered) -> Block:
    element = _number(MAX_PRICE, entered.max_price, "No maximum", is_decimal_allowed=True)
    return _input(MAX_PRICE, "Maximum USD per hour and replica", element, optional=True)


def _replicas(entered: Entered, offered: Offered) -> Block:
    usual, least, most = offered.replicas
    element = _number(REPLICAS, entered.replicas, str(usual), is_decimal_allowed=False)
    hint = f"From {max(least, 1)} to {most}. The replicas share the load behind one endpoint."
    return _input(REPLICAS, "Replicas", element, hint=hint, optional=True)


def _until(entered: Entered) -> Block:
    element: Block = {"type": "datetimepicker", "action_id": UNTIL}
    hint = (
        "The deployment ends then; its thread announces it 15 minutes before. Empty: the recipe or the policy sets the "
        "end; without one, a person ends it."
    )
    element |= {"initial_date_time": entered.until} if entered.until in DATES else {}
    return _input(UNTIL, "Until", element, hint=hint, optional=True, follows=False)


def _name(entered: Entered, offered: Offered) -> Block:
    element = _text(NAME, entered.name) | {"placeholder": plain(offered.name, MAX_LABEL)}
    hint = "Lower-case letters, digits and hyphens. Clients can use it as the model's name."
    return _input(NAME, "Name", element, hint=hint, optional=True, follows=False)


def _env(entered: Entered, offered: Offered) -> list[Block]:
    def variable(name: str) -> Block:
        element, is_given = _text(name, entered.variables.get(name, "")), name in offered.given
        return _input(of_recipe(ENV, entered.recipe, name), name, element, optional=is_given, follows=False)

    blocks = [variable(name) for name in (*offered.variables, *offered.given)[:MAX_ENV]]
    if offered.secrets:
        names = ", ".join(offered.secrets)
        blocks.append(context(f"The recipe needs {names}. Secrets never pass through Slack: the worker's operator "
                              "sets them in its environment."))  # fmt: skip
    return blocks


def _input(
    block: str, label: str, element: Block, *, hint: str = "", optional: bool = False, follows: bool = True
) -> Block:
    """`follows`: whether the price follows each change."""
    made: Block = {"type": "input", "block_id": block, "label": plain(label, MAX_LABEL), "element": element}
    made |= {"hint": plain(hint, MAX_LABEL)} if hint else {}
    made |= {"optional": True} if optional else {}
    return made | ({"dispatch_action": True} if follows else {})


def _select(kind: str, action: str, options: Sequence[Block]) -> Block:
    return {"type": kind, "action_id": f"{ACTION}_{action}", "options": list(options)}


def _multi(action: str, options: Sequence[Block], chosen: Sequence[str], placeholder: str) -> Block:
    element = _select("multi_static_select", action, options) | {"placeholder": plain(placeholder, MAX_LABEL)}
    initial = [option for option in options if option["value"] in chosen]
    return element | ({"initial_options": initial} if initial else {})


def _number(action: str, value: str, placeholder: str, *, is_decimal_allowed: bool) -> Block:
    element: Block = {
        "type": "number_input",
        "action_id": f"{ACTION}_{action}",
        "is_decimal_allowed": is_decimal_allowed,
        "placeholder": plain(placeholder, MAX_LABEL),
        "dispatch_action_config": AT_EACH_CHARACTER,
    }
    return element | ({"initial_value": value} if value else {})


def _text(action: str, value: str) -> Block:
    element: Block = {"type": "plain_text_input", "action_id": action, "max_length": MAX_TEXT}
    return element | ({"initial_value": value[:MAX_TEXT]} if value else {})


def _option(text: str, value: str) -> Block:
    return {"text": plain(text, MAX_OPTION), "value": value}


def _all(known: Sequence[str], chosen: Sequence[str]) -> list[str]:
    return list(dict.fromkeys((*known, *chosen)))[:MAX_OPTIONS]


def _gpu(gpu: str) -> str:
    name, _, number = gpu.rpartition(":")
    return unmarked(offers.gpus(name, int(number))) if name and number.isdecimal() else gpu
