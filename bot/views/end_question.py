"""PURE: the modal that asks before a deployment is ended."""

from typing import Any

from bot.language.command import SLASH
from bot.slack.message import Message
from bot.views.blocks import actions, plain, section
from bot.views.command_button import command_button
from bot.views.escape import escape
from workers.deployment.state import Deployment

CALLBACK = "end_deployment"


def message(deployment: Deployment) -> Message:
    """The same question with a button, for when Slack refuses the modal."""
    press = command_button("End it", f"{SLASH} down {deployment.name}", deployment.id, style="danger")
    return Message(question(deployment), (section(question(deployment)), actions([press])))


def question(deployment: Deployment) -> str:
    return f"End *{escape(deployment.name)}*? {_removed(deployment)}, and its keys stop working."


def modal(deployment: Deployment) -> dict[str, Any]:
    """A modal whose private_metadata is the deployment's id."""
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": deployment.id,
        "title": plain(f"End {deployment.name}?", 24),
        "submit": plain("End it", 24),
        "close": plain("Keep it", 24),
        "blocks": [section(question(deployment))],
    }


def _removed(deployment: Deployment) -> str:
    if not deployment.wanted:
        return "Its endpoint is removed"
    replicas = "replica" if deployment.wanted == 1 else f"{deployment.wanted} replicas"
    return f"Its {replicas} and its endpoint are removed"
