"""PURE: the text that a person typed, from what Slack's composer made of it."""

import re
from collections.abc import Iterable, Mapping, Sequence

_MARKUP = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_PERSON = re.compile(r"<@([UW][A-Z0-9]+)>")
_CHANNEL = re.compile(r"<#([CGD][A-Z0-9]+)>")
_DOUBLE = "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}«»"
_SINGLE = "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}"
_STRAIGHT = str.maketrans({**dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_SINGLE, "'")})
_DASHES = re.compile("(?<!\\S)[\N{EM DASH}\N{EN DASH}](?=[A-Za-z])")


def plain(text: str, *, mentions: bool = False) -> str:
    """Undo links, mentions and entities: `<http://a.b|a.b>` is `a.b`, `<@U1|robin>` is `@robin`, `&lt;` is `<`.

    `mentions`: those of people and channels stay, so that `<@U1|robin>` is `<@U1>`.
    """
    text = _MARKUP.sub(_kept if mentions else _typed, text.replace("\x00", ""))
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def texts_in(value: object) -> Iterable[str]:
    """The texts in blocks, whatever their kind."""
    if isinstance(value, Mapping):
        text = value.get("text")
        if isinstance(text, str):
            yield plain(text)
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from texts_in(inner)


def mentioned(word: str) -> str | None:
    """The user id in a word of `plain` with mentions; None if it is not a mention of a person."""
    found = _PERSON.fullmatch(word)
    return found[1] if found else None


def mentioned_channel(word: str) -> str | None:
    """The channel id in a word of `plain` with mentions; None if it is not a mention of a channel."""
    found = _CHANNEL.fullmatch(word)
    return found[1] if found else None


def _kept(found: re.Match[str]) -> str:
    mention = f"<{found[1]}>"
    return mention if _PERSON.fullmatch(mention) or _CHANNEL.fullmatch(mention) else _typed(found)


def _typed(found: re.Match[str]) -> str:
    target, label = found[1], found[2]
    sign = target[:1]
    if sign in ("@", "#"):
        return f"{sign}{label or target[1:]}"
    if sign == "!":
        return label or f"@{target[1:].split('^')[0]}"
    return label or target


def straight(text: str) -> str:
    """Replace typographic quotes by plain ones, and the dash that composers make of two hyphens by two hyphens."""
    return _DASHES.sub("--", text.translate(_STRAIGHT))


def unquoted(text: str) -> str:
    """Remove a pair of quotes that encloses the whole text."""
    text = text.strip()
    quotes = text.translate(_STRAIGHT)
    mark = quotes[:1]
    if len(text) > 1 and mark in ("'", '"') and quotes.endswith(mark) and mark not in quotes[1:-1]:
        return text[1:-1].strip()
    return text
