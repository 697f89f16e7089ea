"""blocks.validate: Slack's verdict on blocks, on a message's blocks, or on a view, none of which is shown."""

import re
from typing import Any

from bot.sandbox.arguments import Arguments
from bot.sandbox.block_kit import check_message_blocks, check_view
from bot.sandbox.limits import JSON, SlackError, refuse_arguments
from bot.sandbox.stand_in import StandIn

_COMPLAINT = re.compile(r"\[ERROR\] (?P<message>.*) \[json-pointer:(?P<pointer>[^\]]*)\]")


def validate(_: StandIn, arguments: Arguments) -> JSON:
    given = [name for name in ("blocks", "message", "view") if name in arguments]
    if len(given) != 1:
        refuse_arguments("must provide exactly one of blocks, message, view")
    [kind] = given
    try:
        _check(kind, arguments.json(kind))
    except SlackError as refusal:
        raise SlackError(f"invalid_{kind}", errors=_errors(refusal)) from refusal
    return {}


def _check(kind: str, given: Any) -> None:
    match kind, given:
        case "blocks", _:
            check_message_blocks(given)
        case "message", {"blocks": blocks}:
            check_message_blocks(blocks)
        case "view", {"type": "home" | "modal" as surface}:
            check_view(given, surface)
        case _:
            refuse_arguments(f"missing required field [json-pointer:/{kind}]")


def _errors(refusal: SlackError) -> list[JSON]:
    said = refusal.fields.get("response_metadata", {}).get("messages", [])
    found = [found for text in said if (found := _COMPLAINT.fullmatch(text))]
    return [
        {"pointer": each["pointer"], "code": "failed_constraint", "message": each["message"]} for each in found
    ] or [{"pointer": "", "code": "failed_constraint", "message": refusal.error}]
