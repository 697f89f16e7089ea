"""PURE: decodes the server-sent events of a chat completion."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from bot.prompting.errors import PromptingError

MOST_BYTES = 2**20
"""Maximum size of a line in bytes. An engine that does not stream sends a whole answer in one."""


class Garbled(PromptingError):
    """The engine sent an event that is not part of a chat completion."""


class Delta(Struct, frozen=True):
    """The text that one chunk adds."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    """The name of `reasoning` in earlier versions of vLLM, and in llama.cpp."""

    @property
    def thought(self) -> str:
        return self.reasoning or self.reasoning_content or ""


class Choice(Struct, frozen=True):
    """The answer in a chunk. Each request asks for one answer."""

    delta: Delta = Delta()
    finish_reason: str | None = None


class Usage(Struct, frozen=True):
    """The number of tokens, as counted by the engine."""

    completion_tokens: int = 0


class Chunk(Struct, frozen=True):
    """One server-sent event of a chat completion."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    error: Any = None
    """Set if the engine failed within an answer."""


_decode = msgspec.json.Decoder(Chunk).decode


class Events:
    """Decodes bytes as they are received into complete chunks."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self.done = False
        """Whether the engine has sent `[DONE]`."""

    def feed(self, received: bytes) -> list[Chunk]:
        """Return the chunks that these bytes complete. Raises Garbled."""
        chunks: list[Chunk] = []
        for line in self._lines(received):
            if not line.startswith(b"data:"):
                continue  # comments keep the connection open; blank lines separate events
            data = line[5:].strip()
            if data == b"[DONE]":
                self.done = True
            elif data:
                chunks.append(_chunk(data))
        return chunks

    def _lines(self, received: bytes) -> Iterator[bytes]:
        *ends, rest = received.split(b"\n")
        for end in ends:
            self._keep(end)
            yield bytes(self._rest)
            self._rest.clear()
        self._keep(rest)

    def _keep(self, some: bytes) -> None:
        self._rest += some
        if len(self._rest) > MOST_BYTES:
            raise Garbled("The engine sent a line that is longer than 1 MiB, which no chat completion has.")


def _chunk(data: bytes) -> Chunk:
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        shown = data[:80].decode(errors="replace")
        raise Garbled(f"The engine sent an event that is not part of a chat completion: {shown!r}") from error
