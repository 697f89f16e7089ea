"""PURE: the code blocks of a Markdown text: where they begin and end, and how one continues in another message."""

import re

from msgspec import Struct

_LINE = re.compile(r"^((?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*)(`{3,}|~{3,})[ \t]*([^`]*?)[ \t]*$")
_INDENT_OF_A_PLAIN_FENCE = 3
"""Maximum indentation of a fence outside lists. A line with more is an indented code block there."""
_LONGEST_INFO = 20


class Fence(Struct, frozen=True, kw_only=True):
    """The line that opens a code block."""

    indent: int
    """Columns before the mark, with the markers of lists."""
    is_nested: bool
    """Whether it may belong to a list or a quote, whose end also ends the block."""
    mark: str
    info: str

    @property
    def closing(self) -> str:
        """The line that closes the block."""
        return " " * self.indent + self.mark

    @property
    def opening(self) -> str:
        """The line that continues the block at the beginning of another message.

        A block within a list continues within a list, since the model's own closing fence is indented as deeply.
        """
        is_plain = self.indent <= _INDENT_OF_A_PLAIN_FENCE
        list_ = "" if is_plain else "- " * (self.indent // 2) + " " * (self.indent % 2)
        return f"{list_}{self.mark}{self.info}"


def after(line: str, fence: Fence | None) -> Fence | None:
    """Return the code block that is open after a line, if `fence` is open before it."""
    found = _LINE.match(line)
    if found is None:
        return fence
    before, mark, info = found.groups()
    if fence is None:
        indent = len(before.replace(">", ""))
        is_nested = bool(before.strip()) or indent > _INDENT_OF_A_PLAIN_FENCE
        return Fence(indent=indent, is_nested=is_nested, mark=mark, info=info[:_LONGEST_INFO])
    closes = mark[0] == fence.mark[0] and len(mark) >= len(fence.mark) and not info
    return None if closes else fence


def open_fence(markdown: str) -> Fence | None:
    """Return the code block in which the text ends."""
    fence = None
    for line in markdown.split("\n"):
        fence = after(line, fence)
    return fence


def is_certain(fence: Fence | None) -> bool:
    """Return whether every Markdown parser recognizes this code block: backticks, outside lists and quotes."""
    return fence is not None and fence.mark[0] == "`" and not fence.is_nested
