"""PURE: divides a long answer into messages."""

import unicodedata
from collections.abc import Callable
from typing import TypeAlias

from bot.prompting.fences import open_fence

_SEPARATORS = ("\n\n", "\n", " ")
"""Where a message may end, best first."""

_JOINER = "\N{ZERO WIDTH JOINER}"
_LONGEST_CHARACTER = 12
"""Maximum number of code points that are kept together as one visible character."""

Size: TypeAlias = Callable[[str], int]
"""Returns the size of a text in the unit of Slack's limit."""


def utf8(text: str) -> int:
    """Return the size in bytes."""
    return len(text.encode("utf-8", "surrogatepass"))


def cut(markdown: str, limit: int, size: Size = len) -> int:
    """Return the length of the first part: at most `limit`, up to a separator if its second half has one."""
    maximum = _fitting(markdown, limit, size)
    if maximum == len(markdown):
        return maximum
    for separator in _SEPARATORS:
        at = markdown.rfind(separator, maximum // 2, maximum)
        if at > 0:
            return at + len(separator)
    return _before_a_character(markdown, maximum)


def split(markdown: str, limit: int, size: Size = len) -> list[str]:
    """Divide the text into one or more messages of about `limit` each.

    More text changes the last message only. A code block that is divided is closed and reopened.
    """
    parts: list[str] = []
    opening, rest = "", markdown
    while (at := cut(rest, limit, size)) < len(rest):
        part = opening + rest[:at]
        opening = reopened(part)
        parts.append(closed(part))
        rest = rest[at:]
    return [*parts, opening + rest]


def closed(markdown: str) -> str:
    """Return the text with its last code block closed."""
    fence = open_fence(markdown)
    if fence is None:
        return markdown
    return f"{markdown}{fence.closing}" if markdown.endswith("\n") else f"{markdown}\n{fence.closing}"


def reopened(markdown: str) -> str:
    """Return what the continuation of the text has to begin with."""
    fence = open_fence(markdown)
    return f"{fence.opening}\n" if fence is not None else ""


def _fitting(markdown: str, limit: int, size: Size) -> int:
    """Return the length of the longest prefix within the limit; at least 1."""
    if size(markdown) <= limit:
        return len(markdown)
    low, high = 1, min(len(markdown), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(markdown[:middle]) <= limit else (low, middle - 1)
    return low


def _before_a_character(markdown: str, at: int) -> int:
    """Return a place at or before `at` that divides no visible character, such as an emoji of several code points."""
    for place in range(at, max(at - _LONGEST_CHARACTER, 0), -1):
        following = markdown[place]
        joined = _JOINER in (following, markdown[place - 1]) or unicodedata.category(following) in ("Mn", "Me", "Sk")
        if not joined:
            return place
    return at
