"""PURE: what a model says, made so that it can only be read: it pings nobody, and its links show where they go."""

import re

# In Slack's markup and in Markdown every construct that acts begins with one of these joints, so a space in the joint
# is enough. A space shows what was done, and code that has one more still runs; a hidden character would do neither.
_ACTING = re.compile(
    r"<(?=[@#\\&])"  # <@U1> a person, <#C1> a channel; also where Markdown takes a backslash or an entity off
    r"|<(?=!(?!DOCTYPE|--|\[))"  # <!channel>, <!date^…|…>, and not what HTML has there
    r"|<(?=[A-Za-z][A-Za-z0-9+.-]{0,30}:(?!:))"  # <https://a|b>, <mailto:…>, and not C++'s <std::…>
    r"|&(?:lt|#0{0,5}60|#[xX]0{0,5}3[cC]);(?=[@#!])"  # the same, written as an entity
    r"|\](?=[(:])",  # [b](https://a), [b]: https://a
    re.IGNORECASE,
)

_UNSETTLED = re.compile(r"(?:<[^\s<>]{0,33}|&[#\w]{0,9};?|\])\Z")
"""An end that the next characters may turn into a joint."""

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
    """Markdown that cannot act; only spaces are added."""
    return _ACTING.sub(lambda found: f"{found[0]} ", text)


def settled(text: str) -> str:
    """The beginning of `inert` of every text that begins with this one: what may be shown before the rest is known."""
    end = _UNSETTLED.search(text[-_LONGEST_END:])
    return inert(text[: len(text) - len(end[0])] if end else text)


def escape(text: str) -> str:
    """Text for Slack's mrkdwn, in which it means nothing but itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mrkdwn(markdown: str) -> str:
    """Markdown in Slack's own markup, as far as that goes; escaped, and never longer than `escape` makes it."""
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
            lines.append("```")
        else:
            lines.append(escape(line) if fenced else _line(line))
    return "\n".join(lines)


def open_fence(markdown: str) -> str:
    """The line that opened the code block in which the text ends, or nothing."""
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
    mark = _BOLD_MARK if bold else ""  # within a heading, which is bold as a whole, there is no bolder
    text = _BOLD.sub(rf"{mark}\2{mark}", text)
    text = _ITALIC.sub(r"_\1_", text)
    return _STRUCK.sub(r"~\1~", text).replace(_BOLD_MARK, "*")
