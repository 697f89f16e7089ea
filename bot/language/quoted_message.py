"""PURE: a message that a question is about, and how the model gets it."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from bot.language.typed_text import plain

MAX_QUOTED = 20_000
"""Maximum number of characters of a message that are sent."""


class QuotedMessage(Struct, frozen=True, kw_only=True):
    """A message, with the texts that are attached to it and the names of its files."""

    author: str
    """The id of a person, or the name of an app."""
    text: str
    name: str = ""
    """The name of the person."""
    channel: str = ""
    """Where the message is, if the question is asked in another place."""


def quoted_message(message: Mapping[str, Any]) -> QuotedMessage:
    """Read Slack's object of a message."""
    profile = message.get("bot_profile") or {}
    author = message.get("user") or message.get("username") or profile.get("name") or "an app"
    parts = [message.get("text") or "", *map(_attached, message.get("attachments") or ())]
    names = [str(file.get("name") or file.get("title") or "") for file in message.get("files") or ()]
    if named := ", ".join(name for name in names if name):
        parts.append(f"[files that are not included: {named}]")
    text = "\n\n".join(plain(part) for part in parts if part.strip())
    return QuotedMessage(author=str(author), text=text[:MAX_QUOTED])


def about(prompt: str, quoted: QuotedMessage | None) -> str:
    """The prompt with the message that it is about."""
    if quoted is None:
        return prompt
    return f"{prompt}\n\nThe message that this is about, by {quoted.name or quoted.author}:\n\n{quoted.text}"


def _attached(attachment: Mapping[str, Any]) -> str:
    own = [attachment.get(field) or "" for field in ("pretext", "title", "text")]
    return "\n".join(part for part in own if part) or attachment.get("fallback") or ""
