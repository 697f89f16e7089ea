"""What has been received of an answer: its tokens, its thoughts, and when they came."""

from collections.abc import Callable

from bot.prompting.engine_failures import broke_off
from bot.prompting.outcome import Finish
from bot.prompting.sse import Chunk, Usage
from bot.prompting.thoughts import Piece, Thoughts


class Received:
    """Counts and times of an answer. Each chunk with text counts as one token; used by one thread."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        """`name`: of the deployment, for error sentences."""
        self._name, self._clock = name, clock
        self._thoughts = Thoughts()
        self._first: float | None = None
        self._answered: float | None = None
        self._thought = 0
        self._thoughts_said: list[str] = []
        self._usage: Usage | None = None
        self.asked = self.last = clock()
        self.tokens = 0
        """Number of tokens of the answer, without the thoughts."""
        self.reason: str | None = None
        """The engine's `finish_reason`."""

    @property
    def thinking(self) -> float | None:
        """Seconds since the first thought, while there is no answer; None otherwise."""
        if self._first is None or not self._thought or self.tokens:
            return None
        return self._clock() - self._first

    @property
    def has_begun(self) -> bool:
        return self._first is not None

    def text(self, chunk: Chunk) -> str:
        """Return what this chunk adds to the answer. Raises EngineFailed."""
        if chunk.error:
            raise broke_off(self._name, chunk.error)
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.reason = choice.finish_reason or self.reason
        thought, content = choice.delta.thought, choice.delta.content or ""
        if thought or content:
            self.last = self._clock()
            self._first = self.last if self._first is None else self._first
        if thought:
            self._thoughts_said.append(thought)
        return self._added(self._thoughts.divided(content), is_thought=bool(thought))

    def rest(self) -> str:
        """Return what was held back of the answer, at its end."""
        return self._added(self._thoughts.rest())

    def finish(self) -> Finish:
        first = self.last if self._first is None else self._first
        answered = self.last if self._answered is None else self._answered
        counted = self._usage.completion_tokens if self._usage else 0
        return Finish(
            reason=self.reason,
            tokens=counted or self.tokens + self._thought,
            seconds=self.last - self.asked,
            writing=self.last - first,
            thoughts=self._thought,
            thinking=answered - first,
            said="".join(self._thoughts_said),
        )

    def _added(self, piece: Piece, *, is_thought: bool = False) -> str:
        self._thought += is_thought or bool(piece.thought)
        if piece.thought:
            self._thoughts_said.append(piece.thought)
        text = piece.text
        if self._thought and not self.tokens:
            text = text.lstrip("\r\n")  # models separate thoughts and answer by blank lines
        if text:
            self._answered = self.last if self._answered is None else self._answered
            self.tokens += 1
        return text
