"""Checks whether Slack would accept blocks and views; errors have Slack's form."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bot.sandbox import limits
from bot.sandbox.block_kit.blocks import InHome, InMessage, InModal
from bot.sandbox.block_kit.objects import Kit, Plain
from bot.sandbox.limits import JSON, SlackError, refuse_arguments

MessageBlocks = Annotated[list[InMessage], Meta(max_length=limits.BLOCKS)]
Upto24 = Annotated[str, Meta(min_length=1, max_length=24)]


class _View(Kit, frozen=True, kw_only=True, tag_field="type"):
    private_metadata: Annotated[str, Meta(max_length=3000)] | UnsetType = UNSET
    callback_id: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    external_id: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET


class Modal(_View, frozen=True, kw_only=True, tag="modal"):
    blocks: Annotated[list[InModal], Meta(min_length=1, max_length=100)]
    title: Plain[Upto24]
    submit: Plain[Upto24] | UnsetType = UNSET
    close: Plain[Upto24] | UnsetType = UNSET
    clear_on_close: bool | UnsetType = UNSET
    notify_on_close: bool | UnsetType = UNSET
    submit_disabled: bool | UnsetType = UNSET


class Home(_View, frozen=True, kw_only=True, tag="home"):
    blocks: Annotated[list[InHome], Meta(min_length=1, max_length=100)]


_PATH = re.compile(r" - at `\$(.*)`$")
# msgspec's messages and Slack's equivalents; {} is the number or name in the message.
_TRANSLATIONS = (
    (re.compile(r"Expected `str` of length <= (\d+)"), "must be no more than {} characters"),
    (re.compile(r"Expected `str` of length >= (\d+)"), "must be no less than {} characters"),
    (re.compile(r"Expected `array` of length <= (\d+)"), "no more than {} items allowed"),
    (re.compile(r"Expected `array` of length >= (\d+)"), "no less than {} items allowed"),
    (re.compile(r"Expected `(?:int|float)` <= (\d+)"), "must be no more than {}"),
    (re.compile(r"Expected `(?:int|float)` >= (\d+)"), "must be no less than {}"),
    (re.compile(r"Object missing required field `(\w+)`"), "missing required field: {}"),
    (re.compile(r"Object contains unknown field `(\w+)`"), "invalid additional property: {}"),
)


def check_message_blocks(blocks: Any) -> list[JSON]:
    """The blocks of a message as Slack stores them: with generated ids where they have none.

    Raises SlackError: `invalid_blocks_format`, `invalid_blocks` with JSON pointers in response_metadata.messages,
    `msg_blocks_too_long`.
    """
    if blocks is None:
        return []
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    complaints = _complaints(blocks, MessageBlocks, "/blocks")
    if not complaints and _markdown(blocks) > limits.MARKDOWN:
        complaints = [f"markdown blocks have more than {limits.MARKDOWN} characters [json-pointer:/blocks]"]
    if complaints:
        raise SlackError(
            "invalid_blocks",
            errors=complaints,
            response_metadata={"messages": [f"[ERROR] {complaint}" for complaint in complaints]},
        )
    if sum(map(len, _texts(blocks))) > limits.BLOCKS_TEXT:
        raise SlackError("msg_blocks_too_long")
    return with_ids(blocks)


def check_view(view: Any, kind: Literal["modal", "home"]) -> JSON:
    """The view to store: its blocks have ids.

    Raises SlackError: `invalid_arguments` with JSON pointers, `view_too_large`.
    """
    if not isinstance(view, dict):
        refuse_arguments("must provide an object [json-pointer:/view]")
    if len(json.dumps(view)) > limits.VIEW_BYTES:
        raise SlackError("view_too_large")
    try:
        msgspec.convert(view, Modal if kind == "modal" else Home)
    except msgspec.ValidationError as failed:
        refuse_arguments(_translated(str(failed), "/view"))
    complaints = _duplicates(view["blocks"], "/view/blocks")
    if kind == "modal" and "submit" not in view and any(b["type"] == "input" for b in view["blocks"]):
        complaints.append("missing required field: submit [json-pointer:/view]")
    if complaints:
        refuse_arguments(*complaints)
    return view | {"blocks": with_ids(view["blocks"])}


def check_attachments(attachments: Any) -> list[JSON]:
    """The attachments, unchanged except for ids in their blocks, which are checked.

    Raises SlackError: `invalid_attachments`, `too_many_attachments`, `invalid_blocks`.
    """
    if attachments is None:
        return []
    if not isinstance(attachments, list) or not all(isinstance(a, dict) for a in attachments):
        raise SlackError("invalid_attachments")
    if len(attachments) > limits.ATTACHMENTS:
        raise SlackError("too_many_attachments")
    return [
        {**attachment, "blocks": check_message_blocks(attachment["blocks"])} if "blocks" in attachment else attachment
        for attachment in attachments
    ]


def with_ids(blocks: list[JSON]) -> list[JSON]:
    """The blocks, with generated ids where Slack would generate them."""
    return [_block_with_ids(block) for block in blocks]


def interactive(block: JSON) -> Iterator[JSON]:
    """The interactive elements of a block."""
    for element in (block.get("accessory"), block.get("element"), *_listed(block, "elements", "actions")):
        if isinstance(element, dict) and (
            "action_id" in element or element.get("type", "").endswith(("select", "button", "buttons", "overflow"))
        ):
            yield element


def _listed(block: JSON, *names: str) -> list[Any]:
    return [item for name in names for item in block.get(name, ())]


_INERT = frozenset({"image", "plain_text", "mrkdwn", "card"})


def _block_with_ids(block: JSON) -> JSON:
    completed = {"block_id": secrets.token_urlsafe(4), **block}
    if block["type"] == "rich_text":
        return completed
    for name in ("accessory", "element"):
        if name in block:
            completed[name] = _element_with_id(block[name])
    for name in ("elements", "actions"):
        if name in block:
            completed[name] = [_element_with_id(element) for element in block[name]]
    for name in ("child_blocks", "tasks"):
        if name in block:
            completed[name] = with_ids(block[name])
    return completed


def _element_with_id(element: JSON) -> JSON:
    if element["type"] == "card":
        return _block_with_ids(element)
    return element if element["type"] in _INERT else {"action_id": secrets.token_urlsafe(4), **element}


def _complaints(blocks: list[Any], kind: Any, pointer: str) -> list[str]:
    """The first violation of the schema, or else every duplicate id."""
    try:
        msgspec.convert(blocks, kind)
    except msgspec.ValidationError as failed:
        return [_translated(str(failed), pointer)]
    return _duplicates(blocks, pointer)


def _duplicates(blocks: list[JSON], pointer: str) -> list[str]:
    complaints = []
    seen: set[str] = set()
    for n, block in enumerate(blocks):
        name = block.get("block_id")
        if name in seen:
            complaints.append(f"`block_id` {name} already exists [json-pointer:{pointer}/{n}/block_id]")
        if name is not None:
            seen.add(name)
        actions = [element["action_id"] for element in interactive(block) if "action_id" in element]
        complaints += [
            f'`action_id` "{duplicate}" already exists for block [json-pointer:{pointer}/{n}]'
            for duplicate in sorted({action for action in actions if actions.count(action) > 1})
        ]
    tables = sum(block["type"] == "table" for block in blocks)
    if tables > 1:
        complaints.append(f"only_one_table_allowed [json-pointer:{pointer}]")
    charts = sum(block["type"] == "data_visualization" for block in blocks)
    if charts > limits.CHARTS:
        complaints.append(f"no more than {limits.CHARTS} data_visualization blocks allowed [json-pointer:{pointer}]")
    return complaints


def _translated(failure: str, pointer: str) -> str:
    """A message of msgspec as Slack's message, with a JSON pointer."""
    place = _PATH.search(failure)
    path = place[1] if place else ""
    at = pointer + re.sub(r"\[(\d+)\]", r"/\1", path).replace("[...]", "/*").replace(".", "/")
    what = _PATH.sub("", failure)
    if path.endswith(".type") and what.startswith("Invalid value"):
        what = f"unsupported type: {what.removeprefix('Invalid value ').strip(chr(39))}"
    for pattern, template in _TRANSLATIONS:
        found = pattern.fullmatch(what)
        if found:
            what = template.format(found[1])
    return f"{what} [json-pointer:{at}]"


def _markdown(blocks: list[JSON]) -> int:
    """The number of characters in markdown blocks, also those in containers."""
    inside = sum(_markdown(block["child_blocks"]) for block in blocks if block["type"] == "container")
    return inside + sum(len(block["text"]) for block in blocks if block["type"] == "markdown")


def _texts(value: Any) -> Iterator[str]:
    """All texts that are visible to a reader."""
    match value:
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for name, item in value.items():
                if name == "text" and isinstance(item, str):
                    yield item
                elif name not in ("value", "metadata"):
                    yield from _texts(item)
        case _:
            return
