"""PURE: untrusted text, made safe for Slack's markup."""

import re

from bot.language.typed_text import plain

INVISIBLE_JOINER = "\N{WORD JOINER}"

_BROADCAST = re.compile(r"@(?=(?:channel|here|everyone|group)\b)", re.IGNORECASE)
_BOLD = re.compile(r"(?<![\w*])\*([^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])")
_DATE = re.compile(r"<!date\^[^<>|]*\|([^<>]*)>")
_HALF_ENTITY = re.compile(r"^(?:[a-z]{0,3};)")
_ADDRESS_CUT = re.compile(r"https?://[^\s<>]*$")
_MARK_CUT = re.compile(r"<(?:!date\^[^<>]{0,120}|[@!#h][^\s<>|]*(?:\|[^<>]{0,80})?)?$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape(text: str) -> str:
    """Text for mrkdwn with `<`, `>` and `&` as literal characters: no mention, no link, no date."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def inert(text: str) -> str:
    """Untrusted text (a model's answer, an engine's log) without mentions, hidden links and code fences.

    Only for a `verbatim` text object, in which Slack makes no links of bare addresses.
    """
    text = _CONTROL.sub("", text.replace("\r\n", "\n"))
    text = text.replace("```", f"`{INVISIBLE_JOINER}`{INVISIBLE_JOINER}`")
    return escape(_BROADCAST.sub(f"@{INVISIBLE_JOINER}", text))


def literal(text: str) -> str:
    """Untrusted text for plain text and rich text, on one line, where Slack decodes no entities."""
    text = _BROADCAST.sub(f"@{INVISIBLE_JOINER}", _CONTROL.sub("", " ".join(text.split())))
    return text.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}").replace(
        ">", "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
    )


def link(address: str, text: str) -> str:
    """A link in mrkdwn to an address of the product's own."""
    return f"<{address.replace('|', '%7C').replace('>', '%3E')}|{escape(text)}>"


def code(text: str) -> str:
    """Text between backticks, on one line."""
    shown = inert(" ".join(text.split())).replace("`", "'")
    return f"`{shown}`"


def unmarked(text: str) -> str:
    """Mrkdwn as plain text, in which Slack would show the marks themselves, as in the errors of a modal."""
    return plain(_BOLD.sub(r"\1", _DATE.sub(r"\1", text)).replace("`", "")).replace(INVISIBLE_JOINER, "")


def clip(text: str, limit: int) -> str:
    """The start of a text, at most `limit` characters, with `…` where it was cut, outside of entities and links."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    if mark := _MARK_CUT.search(kept):  # a date or a link, whose label may have spaces
        return f"{kept[: mark.start()].rstrip()}…"
    cut = None if text[limit - 1].isspace() else _ADDRESS_CUT.search(kept)
    if cut and cut.start():
        return f"{kept[: cut.start()].rstrip()}…"
    ampersand = kept.rfind("&", max(0, len(kept) - 5))
    if ampersand != -1 and ";" not in kept[ampersand:]:
        kept = kept[:ampersand]
    return f"{kept.rstrip()}…"


def clip_start(text: str, limit: int) -> str:
    """The end of an escaped text, at most `limit` characters, in whole lines if it has any."""
    if len(text) <= limit:
        return text
    kept = text[2 - limit :]
    line_end = kept.find("\n")
    return "…\n" + (kept[line_end + 1 :] if -1 < line_end < len(kept) - 1 else _HALF_ENTITY.sub("", kept))
