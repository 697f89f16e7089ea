"""Whether Slack would take these blocks, this view: and if not, the complaint in Slack's form."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bot.sandbox import limits
from bot.sandbox.block_kit.blocks import InMessage, InView
from bot.sandbox.block_kit.objects import Kit, Plain
from bot.sandbox.limits import SlackError, refuse_arguments

JSON = dict[str, Any]

MessageBlocks = Annotated[list[InMessage], Meta(max_length=limits.BLOCKS)]
ViewBlocks = Annotated[list[InView], Meta(min_length=1, max_length=100)]
Upto24 = Annotated[str, Meta(min_length=1, max_length=24)]


class _View(Kit, frozen=True, kw_only=True, tag_field="type"):
    blocks: ViewBlocks
    private_metadata: Annotated[str, Meta(max_length=3000)] | UnsetType = UNSET
    callback_id: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    external_id: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET


class Modal(_View, frozen=True, kw_only=True, tag="modal"):
    title: Plain[Upto24]
    submit: Plain[Upto24] | UnsetType = UNSET
    close: Plain[Upto24] | UnsetType = UNSET
    clear_on_close: bool | UnsetType = UNSET
    notify_on_close: bool | UnsetType = UNSET
    submit_disabled: bool | UnsetType = UNSET


class Home(_View, frozen=True, kw_only=True, tag="home"):
    pass


_PATH = re.compile(r" - at `\$(.*)`$")
# What the decoder says, and how Slack puts it; {} is the number or the name in it.
_SAYINGS = (
    (re.compile(r"Expected `str` of length <= (\d+)"), "must be no more than {} characters"),
    (re.compile(r"Expected `str` of length >= (\d+)"), "must be no less than {} characters"),
    (re.compile(r"Expected `array` of length <= (\d+)"), "no more than {} items allowed"),
    (re.compile(r"Expected `array` of length >= (\d+)"), "no less than {} items allowed"),
    (re.compile(r"Object missing required field `(\w+)`"), "missing required field: {}"),
    (re.compile(r"Object contains unknown field `(\w+)`"), "invalid additional property: {}"),
)


def check_message_blocks(blocks: Any) -> list[JSON]:
    """The blocks of a message as Slack stores them: unchanged, but each with ids.

    Raises:
        SlackError: `invalid_blocks_format`, `invalid_blocks` with the places in
            response_metadata.messages, `msg_blocks_too_long`.

    """
    if blocks is None:
        return []
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    complaints = _complaints(blocks, MessageBlocks, "/blocks")
    markdown = sum(len(b["text"]) for b in blocks if not complaints and b["type"] == "markdown")
    if markdown > limits.MARKDOWN:
        complaints = [f"markdown blocks have more than {limits.MARKDOWN} characters [json-pointer:/blocks]"]
    if complaints:
        raise SlackError(
            "invalid_blocks",
            errors=complaints,
            response_metadata={"messages": [f"[ERROR] {said}" for said in complaints]},
        )
    if sum(map(len, _texts(blocks))) > limits.BLOCKS_TEXT:
        raise SlackError("msg_blocks_too_long")
    return with_ids(blocks)


def check_view(view: Any, kind: Literal["modal", "home"]) -> JSON:
    """A view as it is to be stored: its blocks with ids.

    Raises:
        SlackError: `invalid_arguments` with the places, `view_too_large`.

    """
    if not isinstance(view, dict):
        refuse_arguments("must provide an object [json-pointer:/view]")
    if len(json.dumps(view)) > limits.VIEW_BYTES:
        raise SlackError("view_too_large")
    try:
        msgspec.convert(view, Modal if kind == "modal" else Home)
    except msgspec.ValidationError as failed:
        refuse_arguments(_said(str(failed), "/view"))
    complaints = _doubles(view["blocks"], "/view/blocks")
    if kind == "modal" and "submit" not in view and any(b["type"] == "input" for b in view["blocks"]):
        complaints.append("missing required field: submit [json-pointer:/view]")
    if complaints:
        refuse_arguments(*complaints)
    return view | {"blocks": with_ids(view["blocks"])}


def check_attachments(attachments: Any) -> list[JSON]:
    """Attachments as they came; the blocks in them are checked.

    Raises:
        SlackError: `invalid_attachments`, `too_many_attachments`, `invalid_blocks`.

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
    """The blocks with a generated id where Slack would generate one."""
    return [_block_with_ids(block) for block in blocks]


def interactive(block: JSON) -> Iterator[JSON]:
    """The elements of a block that can be acted on."""
    for element in (block.get("accessory"), block.get("element"), *_listed(block, "elements", "actions")):
        if isinstance(element, dict) and (
            "action_id" in element or element.get("type", "").endswith(("select", "button", "buttons", "overflow"))
        ):
            yield element


def _listed(block: JSON, *names: str) -> list[Any]:
    return [item for name in names for item in block.get(name, ())]


_INERT = frozenset({"image", "plain_text", "mrkdwn", "card"})


def _block_with_ids(block: JSON) -> JSON:
    told = {"block_id": secrets.token_urlsafe(4), **block}
    if block["type"] == "rich_text":
        return told
    for name in ("accessory", "element"):
        if name in block:
            told[name] = _element_with_id(block[name])
    for name in ("elements", "actions"):
        if name in block:
            told[name] = [_element_with_id(element) for element in block[name]]
    for name in ("child_blocks", "tasks"):
        if name in block:
            told[name] = with_ids(block[name])
    return told


def _element_with_id(element: JSON) -> JSON:
    if element["type"] == "card":
        return _block_with_ids(element)
    return element if element["type"] in _INERT else {"action_id": secrets.token_urlsafe(4), **element}


def _complaints(blocks: list[Any], kind: Any, pointer: str) -> list[str]:
    """What is wrong with the blocks: the first thing that is, or every id that comes twice."""
    try:
        msgspec.convert(blocks, kind)
    except msgspec.ValidationError as failed:
        return [_said(str(failed), pointer)]
    return _doubles(blocks, pointer)


def _doubles(blocks: list[JSON], pointer: str) -> list[str]:
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
            f'`action_id` "{twice}" already exists for block [json-pointer:{pointer}/{n}]'
            for twice in sorted({action for action in actions if actions.count(action) > 1})
        ]
    tables = sum(block["type"] == "table" for block in blocks)
    if tables > 1:
        complaints.append(f"only_one_table_allowed [json-pointer:{pointer}]")
    return complaints


def _said(failure: str, pointer: str) -> str:
    """A decoder's complaint in Slack's words, with a JSON pointer."""
    place = _PATH.search(failure)
    path = place[1] if place else ""
    at = pointer + re.sub(r"\[(\d+)\]", r"/\1", path).replace("[...]", "/*").replace(".", "/")
    what = _PATH.sub("", failure)
    if path.endswith(".type") and what.startswith("Invalid value"):
        what = f"unsupported type: {what.removeprefix('Invalid value ').strip(chr(39))}"
    for pattern, saying in _SAYINGS:
        found = pattern.fullmatch(what)
        if found:
            what = saying.format(found[1])
    return f"{what} [json-pointer:{at}]"


def _texts(value: Any) -> Iterator[str]:
    """Every text that a reader sees."""
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
