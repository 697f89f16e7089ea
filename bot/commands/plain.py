"""From what Slack's composer makes of a text back to what the person typed: pure."""

import re

_MARKUP = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_DOUBLE = "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}«»"
_SINGLE = "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}"
_STRAIGHT = str.maketrans({**dict.fromkeys(_DOUBLE, '"'), **dict.fromkeys(_SINGLE, "'")})
_DASHES = re.compile("(?<!\\S)[\N{EM DASH}\N{EN DASH}](?=[A-Za-z])")


def plain(text: str) -> str:
    """Undo links, mentions and entities: `<http://a.b|a.b>` is `a.b`, `<@U1|robin>` is `@robin`, `&lt;` is `<`."""
    text = _MARKUP.sub(_typed, text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _typed(found: re.Match[str]) -> str:
    target, label = found[1], found[2]
    sign = target[:1]
    if sign in ("@", "#"):
        return f"{sign}{label or target[1:]}"
    if sign == "!":
        return label or f"@{target[1:].split('^')[0]}"
    return label or target


def straight(text: str) -> str:
    """Typographic quotes as plain ones, and the dash that composers make of two hyphens as two hyphens."""
    return _DASHES.sub("--", text.translate(_STRAIGHT))


def unquoted(text: str) -> str:
    """Without the pair of quotes that encloses the whole text, if one does."""
    text = text.strip()
    quotes = text.translate(_STRAIGHT)
    mark = quotes[:1]
    if len(text) > 1 and mark in ("'", '"') and quotes.endswith(mark) and mark not in quotes[1:-1]:
        return text[1:-1].strip()
    return text
