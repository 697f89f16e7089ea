"""PURE: a message that a question is about, and how the model gets it."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from bot.language.typed_text import plain, texts_in

MAX_FILES = 10
"""Maximum number of its files that are named."""
MAX_QUOTED = 20_000
"""Maximum number of characters of a message that are sent."""


class QuotedMessage(Struct, frozen=True, kw_only=True):
    """A message, with the texts that are attached to it, and the names of its files."""

    author: str
    """The id of a person, or the name of an app."""
    text: str
    name: str = ""
    """The name of the person."""
    channel: str = ""
    """Where the message is, if the question is asked in another place."""
    ts: str = ""
    files: tuple[str, ...] = ()
    """They are read when the question is answered, unless it is asked in another place."""


def quoted_message(message: Mapping[str, Any]) -> QuotedMessage:
    """Read Slack's object of a message."""
    profile = message.get("bot_profile") or {}
    author = message.get("user") or message.get("username") or profile.get("name") or "an app"
    said = plain(message.get("text") or "") or "\n".join(texts_in(message.get("blocks")))
    parts = [said, *map(_attached, message.get("attachments") or ())]
    names = [str(file.get("name") or file.get("title") or "a file") for file in files_of(message)]
    text = "\n\n".join(part for part in parts if part.strip())
    ts = str(message.get("ts") or "")
    return QuotedMessage(author=str(author), text=text[:MAX_QUOTED], ts=ts, files=tuple(names[:MAX_FILES]))


def files_of(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Slack's objects of the files of a message, and of those that it forwards."""
    for each in (message, *(message.get("attachments") or ())):
        yield from each.get("files") or ()


def about(prompt: str, quoted: QuotedMessage | None) -> str:
    """The prompt with the message that it is about."""
    if quoted is None:
        return prompt
    unread = f"[files that are not included: {', '.join(quoted.files)}]" if quoted.files and quoted.channel else ""
    said = "\n\n".join(filter(None, (quoted.text, unread)))
    return f"{prompt}\n\nThe message that this is about, by {quoted.name or quoted.author}:\n\n{said}"


def _attached(attachment: Mapping[str, Any]) -> str:
    own = [plain(attachment.get(field) or "") for field in ("pretext", "title", "text")]
    said = "\n".join(filter(None, [*own, *texts_in(attachment.get("blocks"))]))
    return said or plain(attachment.get("fallback") or "")
