"""PURE: characters that nobody sees: control characters, those that reverse the direction of text, and empty ones."""

import re

_HIDDEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters, without tab and the ends of lines
    "\u00ad\u061c\u200b\u200c\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def hidden(text: str) -> str:
    """The name of the first hidden character, as `U+202E`; empty if there is none. A joiner of emoji is none."""
    found = _HIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def visible(text: str) -> str:
    """The text without them."""
    return _HIDDEN.sub("", text)
