"""PURE: divides a long answer into messages."""

from bot.prompting.inert import open_fence
from bot.views.escape import escape

_SEPARATORS = ("\n\n", "\n", " ")
"""Where a message may end, best first."""


def cut(markdown: str, limit: int) -> int:
    """Return the length of the first part: at most `limit` when escaped, to a separator in its second half if any."""
    maximum = _fitting(markdown, limit)
    if maximum == len(markdown):
        return maximum
    for separator in _SEPARATORS:
        at = markdown.rfind(separator, maximum // 2, maximum)
        if at > 0:
            return at + len(separator)
    return maximum


def split(markdown: str, limit: int) -> list[str]:
    """Divide the text into one or more messages of about `limit` characters each when escaped.

    More text changes the last message only. A code block that is divided is closed and reopened.
    """
    parts: list[str] = []
    opening, rest = "", markdown
    while (at := cut(rest, limit)) < len(rest):
        part = opening + rest[:at]
        opening = reopened(part)
        parts.append(closed(part))
        rest = rest[at:]
    return [*parts, opening + rest]


def closed(markdown: str) -> str:
    """Return the text with its last code block closed."""
    if not open_fence(markdown):
        return markdown
    return f"{markdown}```" if markdown.endswith("\n") else f"{markdown}\n```"


def reopened(markdown: str) -> str:
    """Return what the continuation of the text has to begin with."""
    fence = open_fence(markdown)
    return f"{fence}\n" if fence else ""


def _fitting(markdown: str, limit: int) -> int:
    if len(escape(markdown)) <= limit:
        return len(markdown)
    taken = 0
    for at, character in enumerate(markdown):
        taken += len(escape(character))
        if taken > limit:
            return max(at, 1)
    return len(markdown)
