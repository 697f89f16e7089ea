"""PURE: the Markdown of an answer, read from Slack's message."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.language.typed_text import plain

Element = Mapping[str, Any]

_BELOW = frozenset({"context", "actions", "context_actions", "container"})
"""The blocks below the text of an answer: see `bot.views.answer`."""


def written(message: Mapping[str, Any]) -> str:
    """Return the text of an answer, without what is shown below it.

    Slack returns a Markdown block as it was sent, or as the blocks into which it was translated. Without blocks,
    the text of the message is returned, which may be shortened.
    """
    blocks = message.get("blocks") or []
    said = (_block(block) for block in blocks if block.get("type") not in _BELOW)
    return "\n\n".join(filter(None, said)) if blocks else plain(message.get("text") or "")


def quoted(text: str) -> str:
    """Return the prompt that a message of the bot shows as a quote, in mrkdwn, below a line of its own."""
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in plain(text).split("\n")[1:])


def _block(block: Element) -> str:
    match block.get("type"):
        case "markdown":
            return str(block.get("text") or "")
        case "rich_text":
            return "\n".join(_part(part) for part in block.get("elements") or [])
        case _:
            return " ".join(_strings(block))


def _part(part: Element) -> str:
    inside = part.get("elements") or []
    match part.get("type"):
        case "rich_text_list":
            indent = "  " * int(part.get("indent") or 0)
            return "\n".join(f"{indent}- {_part(item)}" for item in inside)
        case "rich_text_preformatted":
            return f"```{part.get('language') or ''}\n{_line(inside)}\n```"
        case "rich_text_quote":
            return "\n".join(f"> {line}" for line in _line(inside).split("\n"))
        case _:
            return _line(inside)


def _line(elements: Iterable[Element]) -> str:
    return "".join(_words(element) for element in elements)


def _words(element: Element) -> str:
    match element.get("type"):
        case "emoji":
            return f":{element.get('name')}:"
        case "link":
            return str(element.get("text") or element.get("url") or "")
        case _:
            text = str(element.get("text") or "")
            return f"`{text}`" if (element.get("style") or {}).get("code") else text


def _strings(value: Any) -> list[str]:
    """Return the texts of a heading, a table, or any other block."""
    match value:
        case {"text": str(text)}:
            return [text]
        case {"text": text}:
            return _strings(text)
        case Mapping():
            return [text for each in value.values() for text in _strings(each)]
        case list():
            return [text for each in value for text in _strings(each)]
        case _:
            return []
