"""PURE: characters that are not displayed: control characters, those that change the direction of text, empty ones.

Languages and emoji need some of them in sentences (joiners, marks of direction), and none in names and values.
"""

import re

_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # without tab and the ends of lines
_TAGS = "\U000e0000-\U000e007f"
_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
"""The flag of a part of a country, as Scotland's: the only sequence of tag characters in use."""

_HIDDEN = re.compile(
    f"[{_CONTROL}\u00ad\u061c\u200b\u200c\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    f"\ufff9-\ufffb\ud800-\udfff{_TAGS}]"
)
_HIDDEN_IN_PROSE = re.compile(f"({_FLAG})|[{_CONTROL}\u202d\u202e\u206a-\u206f\ufff9-\ufffb\ud800-\udfff{_TAGS}]")


def hidden(text: str) -> str:
    """The name of the first hidden character, as `U+202E`; empty if there is none. A joiner of emoji is none."""
    found = _HIDDEN.search(text)
    return _name(found[0]) if found else ""


def hidden_in_prose(text: str) -> str:
    """The same for sentences, which may contain what Arabic, Hebrew, Persian, Hindi, Thai and emoji need."""
    found = next((found for found in _HIDDEN_IN_PROSE.finditer(text) if not found[1]), None)
    return _name(found[0]) if found else ""


def visible(text: str) -> str:
    """The text without hidden characters."""
    return _HIDDEN.sub("", text)


def visible_prose(text: str) -> str:
    """The text without what `hidden_in_prose` finds."""
    return _HIDDEN_IN_PROSE.sub(lambda found: found[1] or "", text)


def _name(character: str) -> str:
    return f"U+{ord(character):04X}"
