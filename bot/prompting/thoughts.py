"""PURE: separates the thoughts of a model from its answer, where the engine does not."""

from typing import NamedTuple

_BEGIN, _END = "<think>", "</think>"


class Piece(NamedTuple):
    """What a piece of an answer adds."""

    thought: str = ""
    text: str = ""


class Thoughts:
    """Divides a growing text that may begin with `<think>…</think>`. Later tags are a part of the answer."""

    def __init__(self) -> None:
        self._rest = ""
        self._mark = _BEGIN
        """The tag that is looked for; empty after the thoughts."""

    def divided(self, text: str) -> Piece:
        """Return what these characters add. An end that may become a tag is kept for the next call."""
        if not self._mark:
            return Piece(text=text)
        self._rest += text
        return self._begun() if self._mark == _BEGIN else self._thought()

    def rest(self) -> Piece:
        """Return what was kept, at the end of the answer."""
        rest, self._rest = self._rest, ""
        return Piece(text=rest) if self._mark == _BEGIN else Piece(thought=rest)

    def _begun(self) -> Piece:
        begun = self._rest.lstrip()
        if begun.startswith(_BEGIN):
            self._rest, self._mark = begun.removeprefix(_BEGIN), _END
            return self._thought()
        if _BEGIN.startswith(begun):
            return Piece()
        text, self._rest, self._mark = self._rest, "", ""
        return Piece(text=text)

    def _thought(self) -> Piece:
        thought, mark, text = self._rest.partition(_END)
        if mark:
            self._rest, self._mark = "", ""
            return Piece(thought=thought, text=text)
        kept = next((n for n in range(len(_END) - 1, 0, -1) if thought.endswith(_END[:n])), 0)
        self._rest = thought[len(thought) - kept :]
        return Piece(thought=thought[: len(thought) - kept])
