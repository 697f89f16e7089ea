"""PURE: the message that shows a command's question, so that its answer has a thread."""

import re
from collections.abc import Mapping

from bot.slack.message import JSON, Message
from bot.views.blocks import section
from bot.views.escape import escape

LISTED = 2_500
"""Maximum number of characters of a question in the message's text, from which a thread is read later."""
SHOWN = 600
"""Maximum number of characters of a question that are shown. The rest is counted."""
LINES = 12

PERSON = re.compile(r"@([UW][A-Z0-9]{7,})\b")
"""A mention in a prompt."""

_FENCE = re.compile(r"```(?:[\w+-]*\n)?(.*?)\n?(?:```\n?|\Z)", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")


def echo(user: str, deployment: str, prompt: str, names: Mapping[str, str], about: str = "") -> Message:
    """`names`: of the people whose ids are in the prompt. They are shown, and not mentioned. `about`: mrkdwn.

    The blocks are rich text, in which Slack parses nothing: neither mentions nor links.
    """
    head = f"<@{user}> asks *{escape(deployment)}*{about}:"
    prompt = PERSON.sub(lambda found: f"@{names.get(found[1], 'somebody')}", prompt)
    listed = prompt if len(prompt) <= LISTED else f"{prompt[:LISTED]}…"
    text = "\n".join([head, *(f"> {escape(line)}" for line in listed.split("\n"))])
    return Message(text, (section(head), {"type": "rich_text", "elements": _shown(prompt)}))


def is_cut(listed: str) -> bool:
    """Whether a question that was read from the message's text is only the beginning of the whole."""
    return len(listed) == LISTED + 1 and listed.endswith("…")


def _shown(prompt: str) -> list[JSON]:
    short = "\n".join(prompt[:SHOWN].split("\n")[:LINES])
    parts = _parts(short) or [{"type": "rich_text_quote", "elements": [{"type": "text", "text": short}]}]
    if more := len(prompt) - len(short):
        note = f"… and {more:,} characters more"
        parts.append(
            {"type": "rich_text_section", "elements": [{"type": "text", "text": note, "style": {"italic": True}}]}
        )
    return parts


def _parts(text: str) -> list[JSON]:
    """The blocks of code, and the quotes between them."""
    parts: list[JSON] = []
    for at, piece in enumerate(_FENCE.split(text)):
        if not piece.strip():
            continue
        if at % 2:
            parts.append({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": piece}]})
        else:
            parts.append({"type": "rich_text_quote", "elements": _inline(piece.strip("\n"))})
    return parts


def _inline(text: str) -> list[JSON]:
    pieces = enumerate(_CODE.split(text))
    return [
        {"type": "text", "text": piece, **({"style": {"code": True}} if at % 2 else {})}
        for at, piece in pieces
        if piece
    ]
