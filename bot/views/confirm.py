"""PURE: the private question before a launch or a scale by hand that costs much: as a message, and as a modal."""

from decimal import Decimal
from typing import Any

from bot.slack.message import Message
from bot.views.amounts import per_hour_and_day, usd_per_hour
from bot.views.blocks import actions, button, plain, section

CONFIRM = "confirm_command"
DROP = "drop_command"
CALLBACK = "confirm_command_modal"


def question(what: str, usd: Decimal, above: Decimal) -> str:
    """`what`: the deed and its number of replicas, as a sentence without its end."""
    return (
        f"{what} costs {per_hour_and_day(usd)} at the cheapest offer. That is more than {usd_per_hour(above)}, so "
        "nothing was started yet. Do you want it?"
    )


def message(draft: str, said: str) -> Message:
    """`draft`: the id of the stored confirmation."""
    buttons = [button("Confirm", CONFIRM, draft, style="primary"), button("Drop", DROP, "-")]
    return Message(said, (section(said), actions(buttons)))


def modal(draft: str, said: str) -> dict[str, Any]:
    """Its private_metadata is the value of the button."""
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": draft,
        "title": plain("Confirm the price", 24),
        "submit": plain("Confirm", 24),
        "close": plain("Drop", 24),
        "blocks": [section(said)],
    }


def dropped() -> Message:
    return Message("Dropped: nothing was started or changed.")
