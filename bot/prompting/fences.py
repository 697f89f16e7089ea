"""PURE: the code blocks of a Markdown text: where they begin and end, and how one continues in another message."""

import re

from markdown_it import MarkdownIt
from msgspec import Struct

_blocks = MarkdownIt("commonmark")
_blocks.core.ruler.enableOnly(["normalize", "block"])

_LINE = re.compile(r"^((?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*)(`{3,}|~{3,})([^`]*)$")
_LONE_RETURN = re.compile(r"\r(?!\n|\Z)")
_INDENT_OF_A_PLAIN_FENCE = 3
"""Maximum indentation of a fence outside lists. A line with more is an indented code block there."""
_LONGEST_INFO = 20
_LONGEST_NESTED_LINE = 1000
"""Maximum length of a line that is certainly not divided between two messages: its rest would not be indented."""


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
    before, mark, info = found[1], found[2], found[3].strip(" \t")
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


def code_length(line: str, fence: Fence | None) -> int:
    """Return how many characters of a line are code also in another message that continues this block.

    0 for a block that not every Markdown parser sees. `opening` says how a block continues.
    """
    if fence is None or fence.mark[0] != "`":
        return 0
    # To some parsers a carriage return within a line begins another line, which may end the code.
    returned = line.find("\r", 0, len(line) - 1)
    length = returned if returned >= 0 else len(line)
    if not fence.is_nested:
        return length
    is_within = not line.strip() or len(line) - len(line.lstrip(" ")) >= fence.indent
    return min(length, _LONGEST_NESTED_LINE) if is_within else 0


def code_lines(markdown: str) -> set[int]:
    """Return the numbers of the lines that CommonMark takes for code in fences. More text adds lines, and removes none.

    To some parsers a carriage return is a line break: the first one within a line ends the search.
    """
    text, _, _ = _LONE_RETURN.sub("\0", markdown).partition("\0")
    fences = (token for token in _blocks.parse(text.replace("\r", " ")) if token.type == "fence")
    return {at for fence in fences if fence.map for at in range(fence.map[0] + 1, fence.map[1])}
