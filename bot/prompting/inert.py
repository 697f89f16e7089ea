"""PURE: neutralizes a model's text: it cannot mention anyone, and its links show their targets."""

import re

from bot.views.escape import escape

# In Slack's markup and in Markdown, every active construct begins with one of these character pairs. A space within the
# pair disables it, is visible, and keeps code valid; a zero-width character is not visible and breaks code.
_ACTIVE = re.compile(
    r"<(?=[@#\\&])"  # <@U1> a person, <#C1> a channel; also where Markdown removes a backslash or resolves an entity
    r"|<(?=!(?!DOCTYPE|--|\[))"  # <!channel>, <!date^…|…>, but not HTML's <!DOCTYPE
    r"|<(?=[A-Za-z][A-Za-z0-9+.-]{0,30}:(?!:))"  # <https://a|b>, <mailto:…>, but not C++'s <std::…>
    r"|&(?:lt|#0{0,5}60|#[xX]0{0,5}3[cC]);(?=[@#!])"  # the same, written as an entity
    r"|\](?=[(:])",  # [b](https://a), [b]: https://a
    re.IGNORECASE,
)

_UNSETTLED = re.compile(r"(?:<[^\s<>]{0,33}|&[#\w]{0,9};?|\])\Z")
"""An end of the text that the next characters may turn into an active construct."""

_LONGEST_END = 40

_FENCE = re.compile(r"^[ \t]{0,3}(```+|~~~+)[ \t]*([\w+#.-]{0,20})")
_CODE = re.compile(r"(`[^`\n]+`)")
_BOLD = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_ITALIC = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]+?)(?<=[^\s*])\*(?![\w*])")
_STRUCK = re.compile(r"~~(?=\S)(.+?)(?<=\S)~~")
_HEADING = re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.+?)[ \t]*#*$")
_BULLET = re.compile(r"^([ \t]*)[*+-][ \t]+")
_BOLD_MARK = "\x01"


def inert(text: str) -> str:
    """Return the Markdown without active constructs; only spaces are added."""
    return _ACTIVE.sub(lambda found: f"{found[0]} ", text)


def settled(text: str) -> str:
    """Return the longest prefix of `inert(text)` that no further text can change, so that it can be shown already."""
    end = _UNSETTLED.search(text[-_LONGEST_END:])
    return inert(text[: len(text) - len(end[0])] if end else text)


def mrkdwn(markdown: str) -> str:
    """Translate Markdown into escaped mrkdwn, as far as Slack supports it; never longer than `escape(markdown)`."""
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
            lines.append("```")
        else:
            lines.append(escape(line) if fenced else _line(line))
    return "\n".join(lines)


def open_fence(markdown: str) -> str:
    """Return the line that opened the code block in which the text ends, or an empty string."""
    opened = ""
    for line in markdown.split("\n"):
        if found := _FENCE.match(line):
            opened = "" if opened else f"```{found[2]}"
    return opened


def _line(line: str) -> str:
    quote = re.match(r"(?:>[ \t]?)*", line)
    marks = quote[0] if quote else ""
    line = line[len(marks) :]
    if heading := _HEADING.match(line):
        return f"{marks}*{_words(heading[1], bold=False)}*"
    return marks + _words(_BULLET.sub(r"\1• ", line), bold=True)


def _words(text: str, *, bold: bool) -> str:
    parts = _CODE.split(text)
    return "".join(escape(part) if at % 2 else _styled(escape(part), bold=bold) for at, part in enumerate(parts))


def _styled(text: str, *, bold: bool) -> str:
    mark = _BOLD_MARK if bold else ""  # a heading is bold as a whole
    text = _BOLD.sub(rf"{mark}\2{mark}", text)
    text = _ITALIC.sub(r"_\1_", text)
    return _STRUCK.sub(r"~\1~", text).replace(_BOLD_MARK, "*")
