"""PURE: the private question before a launch or a scale by hand that costs much: as a message, and as a modal."""

from decimal import Decimal
from typing import Any

from bot.language.confirmation import Confirmation, value_of
from bot.slack.message import Message
from bot.views.amounts import per_hour_and_day, usd_per_hour
from bot.views.blocks import actions, button, plain, section

CONFIRM = "confirm_command"
DROP = "drop_command"
CALLBACK = "confirm_command_modal"

MAX_VALUE = 2000
"""Slack's limit of a button's value."""


def question(what: str, usd: Decimal, above: Decimal) -> str:
    """`what`: the deed and its number of replicas, as a sentence without its end."""
    return (
        f"{what} costs {per_hour_and_day(usd)} at the cheapest offer. That is more than {usd_per_hour(above)}, so "
        "nothing was started yet. Do you want it?"
    )


def is_confirmable(confirmation: Confirmation) -> bool:
    """Whether it fits into a button."""
    return len(value_of(confirmation)) <= MAX_VALUE


def message(confirmation: Confirmation, said: str) -> Message:
    value = value_of(confirmation)
    buttons = [button("Confirm", CONFIRM, value, style="primary"), button("Drop", DROP, "-")]
    return Message(said, (section(said), actions(buttons)))


def modal(confirmation: Confirmation, said: str) -> dict[str, Any]:
    """Its private_metadata is the value of the button."""
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": value_of(confirmation),
        "title": plain("Confirm the price", 24),
        "submit": plain("Confirm", 24),
        "close": plain("Drop", 24),
        "blocks": [section(said)],
    }


def dropped() -> Message:
    return Message("Dropped: nothing was started or changed.")
