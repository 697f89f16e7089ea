"""PURE: the modal that asks for another number of replicas."""

from typing import Any

from bot.commands.command import REPLICAS_MOST
from bot.views.amounts import count
from bot.views.blocks import Block, plain, section
from bot.views.escape import escape
from bot.views.status import price
from workers.deployment.state import Deployment

CALLBACK = "scale_deployment"
BLOCK = "replicas"
ACTION = "replicas"
"""The number as a string: `view["state"]["values"][BLOCK][ACTION]["value"]`."""


def modal(deployment: Deployment) -> dict[str, Any]:
    """A modal whose private_metadata is the deployment's id."""
    ready = len(deployment.ready)
    standing = f"{ready} of {count(deployment.wanted, 'replica')} {'is' if ready == 1 else 'are'} ready"
    now = f"*{escape(deployment.name)}*: {standing}; {price(deployment)}."
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": deployment.id,
        "title": plain(f"Scale {deployment.name}", 24),
        "submit": plain("Scale", 24),
        "close": plain("Cancel", 24),
        "blocks": [section(now), _number(max(1, deployment.wanted))],
    }


def _number(initial: int) -> Block:
    return {
        "type": "input",
        "block_id": BLOCK,
        "label": plain("Replicas", 100),
        "hint": plain(f"From 1 to {REPLICAS_MOST}. They share the load behind one endpoint.", 150),
        "element": {
            "type": "number_input",
            "action_id": ACTION,
            "is_decimal_allowed": False,
            "initial_value": str(initial),
            "min_value": "1",
            "max_value": str(REPLICAS_MOST),
        },
    }
