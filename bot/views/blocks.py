"""PURE: Block Kit blocks, each cut to Slack's limits."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from bot.views.escape import clip, clip_start, inert

Block = dict[str, Any]

# https://docs.slack.dev/reference/block-kit/blocks
MAX_HEADER = 150
MAX_SECTION = 3000
MAX_FIELD = 2000
MAX_FIELDS = 10
MAX_CONTEXT = 10
MAX_SMALL = 2000
MAX_BUTTON = 75

FENCE = "```"


def mrkdwn(text: str, limit: int = MAX_SECTION) -> Block:
    """A `verbatim` text object: Slack makes no links of bare addresses and names."""
    return {"type": "mrkdwn", "text": clip(text, limit), "verbatim": True}


def plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": clip(text, limit), "emoji": True}


def header(text: str, block_id: str | None = None) -> Block:
    block: Block = {"type": "header", "text": plain(text, MAX_HEADER)}
    return block | {"block_id": block_id} if block_id else block


def section(text: str) -> Block:
    return {"type": "section", "text": mrkdwn(text)}


def fields(pairs: Iterable[tuple[str, str]]) -> Block:
    """Pairs of a name and its value, in two columns."""
    shown = [mrkdwn(f"*{name}*  {value}", MAX_FIELD) for name, value in pairs]
    return {"type": "section", "fields": shown[:MAX_FIELDS]}


def context(*texts: str) -> Block:
    """Small grey text."""
    return {"type": "context", "elements": [mrkdwn(text, MAX_SMALL) for text in texts[:MAX_CONTEXT]]}


def divider() -> Block:
    return {"type": "divider"}


def actions(buttons: Sequence[Block]) -> Block:
    return {"type": "actions", "elements": list(buttons)}


def button(label: str, action: str, value: str, *, style: Literal["primary", "danger"] | None = None) -> Block:
    made: Block = {
        "type": "button",
        "action_id": action,
        "text": plain(label, MAX_BUTTON),
        "value": value,
    }
    return made | {"style": style} if style else made


def fenced(text: str, limit: int = MAX_SECTION) -> str:
    """Untrusted text as a code block; of a long text, its end."""
    room = limit - 2 * len(FENCE) - 2
    end = inert(text.strip("\n")[-room:])
    return f"{FENCE}\n{clip_start(end, room)}\n{FENCE}"


def listed(lines: Sequence[str], limit: int = MAX_SECTION) -> str:
    """Lines joined by line breaks: as many as fit in `limit` characters, then the number of the others."""
    kept = list(lines)
    while kept and len("\n".join(kept)) + 20 > limit:
        kept.pop()
    left = len(lines) - len(kept)
    return "\n".join([*kept, f"… and {left} more"] if left else kept)
