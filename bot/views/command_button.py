"""PURE: buttons with a command: one carries it out, the other opens the launch form with its values."""

from typing import Literal

from bot.language.command import Launch
from bot.language.suggestions import command_text
from bot.views.blocks import Block, button
from workers.deployment.events import DeploymentId
from workers.deployment.state import Deployment

DO = "do_command"
"""Carries out the command in the button's value, once for each message."""

FORM = "launch_form"
"""Opens the launch form with the values of the launch command in the button's value."""

MAX_VALUE = 2000

_NONE = "-"


def command_button(
    label: str, command: str, deployment: DeploymentId | None = None, *, style: Literal["primary", "danger"] = "primary"
) -> Block:
    """`deployment`: the one that the command's name stands for now. Later the name may be that of another one."""
    return button(label, DO, f"{deployment or _NONE} {command}", style=style)


def form_button(command: str, label: str = "Launch…", *, style: Literal["primary"] | None = None) -> Block:
    """A command that is too long for a button is left out: the form then begins empty."""
    return button(label, FORM, command if is_short(command) else "", style=style)


def again(state: Deployment) -> str:
    """The command that launches a deployment again; without its limits if these are too long for a button."""
    name = state.name if state.name != state.recipe.name else None
    whole = command_text(Launch(recipe=state.recipe.name, name=name, limits=state.limits))
    return whole if is_short(whole) else command_text(Launch(recipe=state.recipe.name, name=name))


def is_short(command: str) -> bool:
    """Whether the command fits into a button's value, with a deployment's id."""
    return len(command) <= MAX_VALUE - 100


def pressed(value: str) -> tuple[DeploymentId | None, str]:
    """The deployment and the command of a button's value."""
    deployment, _, command = value.partition(" ")
    return (None if deployment == _NONE else DeploymentId(deployment)), command
