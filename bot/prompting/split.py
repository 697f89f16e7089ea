"""PURE: where to end one message and begin the next, so that no answer is cut."""

from bot.prompting.inert import escape, open_fence

_SEAMS = ("\n\n", "\n", " ")
"""Where a reader minds an end least, best first."""


def cut(markdown: str, limit: int) -> int:
    """How many characters to take so that, escaped, they are at most `limit`: up to a seam, if there is a late one."""
    most = _fitting(markdown, limit)
    if most == len(markdown):
        return most
    for seam in _SEAMS:
        at = markdown.rfind(seam, most // 2, most)
        if at > 0:
            return at + len(seam)
    return most


def split(markdown: str, limit: int) -> list[str]:
    """The text as messages of at most about `limit` characters each, escaped; one at least.

    More text changes the last of them only. A code block that goes on is closed and opened again.
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
    """The text with its last code block closed."""
    if not open_fence(markdown):
        return markdown
    return f"{markdown}```" if markdown.endswith("\n") else f"{markdown}\n```"


def reopened(markdown: str) -> str:
    """What the continuation of the text has to begin with."""
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
