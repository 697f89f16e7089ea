"""PURE: neutralizes a model's text: it cannot mention anyone, and its links show their targets."""

import re

from bot.prompting.fences import after, is_certain
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

# Markdown has no links in a code block, so that only Slack's own markup is disabled there.
_ACTIVE_IN_CODE = re.compile(
    r"<(?=[@#][A-Z0-9]{2}|(?i:!(?:channel|here|everyone|group|subteam|date)|(?:https?|mailto|tel|slack|ftp):))"
    r"|&(?i:lt|#0{0,5}60|#x0{0,5}3c);(?=[@#!])"
)

_UNSETTLED = re.compile(r"(?:<[^\s<>]{0,33}|&[#\w]{0,9};?|\])\Z")
"""An end of the text that the next characters may turn into an active construct."""

_LONGEST_END = 40

_CODE = re.compile(r"(`[^`\n]+`)")
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")


def inert(text: str) -> str:
    """Return the Markdown without active constructs; only spaces are added.

    Later text never changes an earlier line: whether a line is code depends on the lines before it.
    """
    fence, lines = None, []
    for line in text.split("\n"):
        active = _ACTIVE_IN_CODE if is_certain(fence) else _ACTIVE
        lines.append(active.sub(lambda found: f"{found[0]} ", line))
        fence = after(line, fence)
    return "\n".join(lines)


def settled(text: str) -> str:
    """Return the longest prefix of `inert(text)` that no further text can change, so that it can be shown already."""
    end = _UNSETTLED.search(text[-_LONGEST_END:])
    return inert(text[: len(text) - len(end[0])] if end else text)


def mrkdwn(sentence: str) -> str:
    """Translate a sentence of the bot, with bold words and code, into escaped mrkdwn."""
    parts = _CODE.split(sentence)
    return "".join(escape(part) if at % 2 else _BOLD.sub(r"*\1*", escape(part)) for at, part in enumerate(parts))
