"""blocks.validate: the result of the checker that also checks messages and views."""

import re

from bot.sandbox.arguments import Arguments
from bot.sandbox.block_kit import check_attachments, check_message_blocks, check_view
from bot.sandbox.limits import JSON, SlackError, refuse_arguments
from bot.sandbox.stand_in import StandIn

_COMPLAINT = re.compile(r"(?P<message>.*) \[json-pointer:(?P<pointer>.*)\]", re.DOTALL)


def validate(_: StandIn, arguments: Arguments) -> JSON:
    kinds = {"blocks", "message", "view"} & arguments.names()
    if len(kinds) != 1:
        refuse_arguments("must provide exactly one of blocks, message, view")
    [kind] = kinds
    given = arguments.json(kind)
    try:
        match kind:
            case "blocks":
                check_message_blocks(given)
            case "message":
                _check_message(given)
            case _:
                check_view(given, "home" if isinstance(given, dict) and given.get("type") == "home" else "modal")
    except SlackError as refusal:
        root = {"blocks": "/blocks", "message": "", "view": "/view"}[kind]
        raise SlackError(f"invalid_{kind}", errors=_errors(refusal, root)) from refusal
    return {}


def _check_message(message: object) -> None:
    if not isinstance(message, dict):
        refuse_arguments("must provide an object [json-pointer:]")
    check_message_blocks(message.get("blocks"))
    check_attachments(message.get("attachments"))


def _errors(refusal: SlackError, root: str) -> list[JSON]:
    """The complaints as objects; pointers begin at the payload. Of Slack's codes only this one is documented."""
    said = refusal.fields.get("response_metadata", {}).get("messages") or [refusal.error]
    errors = []
    for complaint in said:
        found = _COMPLAINT.fullmatch(complaint.removeprefix("[ERROR] "))
        message, pointer = (found["message"], found["pointer"]) if found else (complaint, "")
        errors.append({"pointer": pointer.removeprefix(root), "code": "failed_constraint", "message": message})
    return errors
