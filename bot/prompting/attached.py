"""PURE: what is attached to a message in Slack, and its form in a prompt."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from bot.language.typed_text import plain, texts_in

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""The pictures that engines decode."""

_NAME_LIMIT = 80
_TEXT_TYPES = re.compile(r"text/|application/(?:.*\b(?:json|xml|yaml|toml|sql|javascript|typescript|x-sh|x-ndjson)\b)")
_BINARY_TYPES = re.compile(r"image/|audio/|video/|font/|application/(?:pdf|zip|gzip|x-tar|vnd\.|msword)")
_BACKTICKS = re.compile(r"`+")
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class Kind(StrEnum):
    """What a file is, as far as Slack reports it."""

    TEXT = "text"
    IMAGE = "image"
    BINARY = "binary"
    UNKNOWN = "unknown"


class File(Struct, frozen=True, kw_only=True):
    """A file that Slack lists at a message."""

    name: str
    kind: Kind
    mimetype: str = ""
    size: int = 0
    """In bytes, as Slack reports it."""
    url: str = ""
    gone: str = ""
    """Why Slack cannot provide the file; empty if it can."""


class Forwarded(Struct, frozen=True, kw_only=True):
    """A message that a person forwarded, or whose link Slack shows."""

    label: str
    text: str


Attachment: TypeAlias = File | Forwarded


class Text(Struct, frozen=True, kw_only=True):
    """A text in a prompt, of which the end may be left out."""

    label: str
    """For the model: "File `a.log`"."""
    name: str
    """For people: "`a.log`"."""
    text: str
    length: int
    """Number of characters of the whole text."""

    @property
    def fenced(self) -> str:
        """The text in a fence that is longer than any in it."""
        fence = "`" * max([3, *(len(run) + 1 for run in _BACKTICKS.findall(self.text))])
        cut = f" (the first {len(self.text):,} of {self.length:,} characters)" if len(self.text) < self.length else ""
        return f"{self.label}{cut}:\n{fence}\n{self.text.rstrip()}\n{fence}"


class Image(Struct, frozen=True, kw_only=True):
    """A picture in a prompt."""

    name: str
    url: str
    """A data: URL."""


def text_of(forwarded: Forwarded) -> Text:
    label, length = forwarded.label, len(forwarded.text)
    return Text(label=label, name=f"the {label[0].lower()}{label[1:]}", text=forwarded.text, length=length)


def cut(text: Text, length: int) -> Text:
    return replace(text, text=text.text[:length])


def attached(message: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """What is attached to a message of Slack: its files, and the messages that it forwards, with their files."""
    found: list[Attachment] = [_file(file) for file in message.get("files") or []]
    for other in message.get("attachments") or []:
        if not is_forwarded(other):
            continue
        if text := _forwarded_text(other):
            author = shown_name(other.get("author_name") or other.get("author_subname") or "")
            found.append(Forwarded(label=f"Forwarded message{f' of {author}' if author else ''}", text=text))
        found.extend(_file(file) for file in other.get("files") or [])
    return tuple(found)


def has_attachments(message: Mapping[str, Any]) -> bool:
    """Whether files or other messages belong to a message, also if its text only has a link to one."""
    linked = "slack.com/archives/" in (message.get("text") or "")
    return linked or bool(message.get("files")) or any(map(is_forwarded, message.get("attachments") or []))


def is_forwarded(attachment: Mapping[str, Any]) -> bool:
    """Whether an attachment of a message is another message, and not a preview of a page."""
    return bool(attachment.get("is_share") or attachment.get("is_msg_unfurl"))


def shown_name(name: str) -> str:
    """Return a name for a prompt and for a sentence: on one line, without backticks, and shortened."""
    plain_name = " ".join("".join(c if c.isprintable() and c != "`" else " " for c in name).split())
    return plain_name if len(plain_name) <= _NAME_LIMIT else f"{plain_name[: _NAME_LIMIT - 1]}…"


def decoded(content: bytes, *, is_text: bool) -> str | None:
    """Return the text of a file; None if it is not a text.

    `is_text`: whether Slack reports a text. Its encoding may then be an older one than UTF-8.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if not is_text or b"\0" in content:
            return None
        text = content.decode("cp1252", "replace")
    return None if "\0" in text else text.replace("\r\n", "\n")


def _file(file: Mapping[str, Any]) -> Attachment:
    name = shown_name(str(file.get("name") or file.get("title") or "")) or "a file without a name"
    mimetype, url = str(file.get("mimetype") or ""), str(file.get("url_private") or "")
    if file.get("mode") == "email" and (text := str(file.get("plain_text") or "")):
        return Forwarded(label=f"Email “{name}”", text=text)
    size = file.get("size")
    return File(
        name=name,
        kind=_kind(file, mimetype),
        mimetype=mimetype,
        size=size if isinstance(size, int) else 0,
        url=url,
        gone=_gone(file, url),
    )


def _kind(file: Mapping[str, Any], mimetype: str) -> Kind:
    if mimetype in IMAGES:
        return Kind.IMAGE
    if file.get("mode") == "snippet" or _TEXT_TYPES.match(mimetype):
        return Kind.TEXT
    return Kind.BINARY if _BINARY_TYPES.match(mimetype) else Kind.UNKNOWN


def _gone(file: Mapping[str, Any], url: str) -> str:
    match file.get("mode"):
        case "tombstone":
            return "it was deleted"
        case "hidden_by_limit":
            return "the workspace's plan hides it; paste the text that matters"
        case "external":
            return "it is stored outside Slack; paste the text that matters"
        case _ if file.get("is_external"):
            return "it is stored outside Slack; paste the text that matters"
        case _:
            return "" if url else "Slack does not give its address to the bot; upload it here"


def _forwarded_text(attachment: Mapping[str, Any]) -> str:
    if text := attachment.get("text"):
        return plain(str(text))
    blocks = (_block_text(shown) for shown in attachment.get("message_blocks") or [])
    return "\n".join(filter(None, blocks)) or plain(str(attachment.get("fallback") or ""))


def _block_text(shown: Mapping[str, Any]) -> str:
    blocks = (shown.get("message") or {}).get("blocks") or []
    return "\n".join(texts_in(blocks))
