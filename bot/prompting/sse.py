"""PURE: what a chat completion streams: bytes of server-sent events to text, reason and usage, cheaply."""

from typing import Any

import msgspec
from msgspec import Struct

from bot.prompting.errors import PromptingError


class Garbled(PromptingError):
    """The engine streamed something that is no chat completion."""


class Delta(Struct, frozen=True):
    """What one chunk adds."""

    content: str | None = None


class Choice(Struct, frozen=True):
    """The one answer of a chunk."""

    delta: Delta = Delta()
    finish_reason: str | None = None


class Usage(Struct, frozen=True):
    """Tokens, as the engine counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(Struct, frozen=True):
    """One server-sent event of a chat completion."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    error: Any = None
    """Engines tell of a failure in the midst of an answer by an event of this form."""


_decode = msgspec.json.Decoder(Chunk).decode


class Events:
    """Takes bytes as they come off the wire, and gives whole chunks."""

    def __init__(self) -> None:
        self._rest = b""
        self.done = False
        """The engine said that nothing follows."""

    def feed(self, received: bytes) -> list[Chunk]:
        """The chunks that these bytes complete. Raises Garbled."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        chunks: list[Chunk] = []
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # comments keep the line open; blank lines part the events
            data = line[5:].strip()
            if data == b"[DONE]":
                self.done = True
            elif data:
                chunks.append(_chunk(data))
        return chunks


def _chunk(data: bytes) -> Chunk:
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        shown = data[:80].decode(errors="replace")
        raise Garbled(f"The engine sent something that is no part of an answer: {shown!r}") from error
