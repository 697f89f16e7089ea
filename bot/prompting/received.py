"""What has been received of an answer: its tokens, its thoughts, and when they came."""

from collections.abc import Callable

from bot.prompting.engine_failures import broke_off
from bot.prompting.outcome import Finish
from bot.prompting.sse import Chunk, Usage
from bot.prompting.thoughts import Piece, Thoughts

MOST_CHARACTERS = 32
"""Maximum number of characters of a token, on the average of an answer. Single tokens are longer: 128 blanks."""


class _Counted:
    """Counts the tokens of a text: one for each chunk, or for `MOST_CHARACTERS` if that is more."""

    def __init__(self) -> None:
        self.chunks = self.characters = 0

    def add(self, characters: int) -> None:
        self.chunks += characters > 0
        self.characters += characters

    @property
    def tokens(self) -> int:
        return max(self.chunks, self.characters // MOST_CHARACTERS)


class Received:
    """Counts and times of an answer; used by one thread."""

    def __init__(self, name: str, clock: Callable[[], float], *, answer_tokens: int, thought_tokens: int) -> None:
        """`name`: of the deployment, for error sentences. The tokens: maximum length of the answer and the thoughts."""
        self._name, self._clock = name, clock
        self._answer_tokens, self._all_tokens = answer_tokens, answer_tokens + thought_tokens
        self._all, self._answer, self._thought = _Counted(), _Counted(), _Counted()
        self._is_cut = False
        self._thoughts = Thoughts()
        self._first: float | None = None
        self._answered: float | None = None
        self._thoughts_said: list[str] = []
        self._usage: Usage | None = None
        self.asked = self.last = clock()
        self.reason: str | None = None
        """The engine's `finish_reason`."""

    @property
    def tokens(self) -> int:
        """Number of tokens of the answer, without the thoughts."""
        return self._answer.tokens

    @property
    def is_full(self) -> bool:
        """Whether the answer is longer than its room, or longer with the thoughts than that of both."""
        return self._is_cut or self.tokens > self._answer_tokens or self._all.tokens > self._all_tokens

    @property
    def thinking(self) -> float | None:
        """Seconds since the first thought, while there is no answer; None otherwise."""
        if self._first is None or not self._thought.chunks or self.tokens:
            return None
        return self._clock() - self._first

    @property
    def has_begun(self) -> bool:
        return self._first is not None

    def text(self, chunk: Chunk) -> str:
        """Return what this chunk adds to the answer, at most up to the answer's room. Raises EngineFailed."""
        if chunk.error:
            raise broke_off(self._name, chunk.error)
        self._usage = chunk.usage or self._usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.reason = choice.finish_reason or self.reason
        thought, content = choice.delta.thought, choice.delta.content or ""
        self._all.add(len(thought) + len(content))
        if thought or content:
            self.last = self._clock()
            self._first = self.last if self._first is None else self._first
        if thought:
            self._thoughts_said.append(thought)
        return self._added(self._thoughts.divided(content), thought)

    def rest(self) -> str:
        """Return what was held back of the answer, at its end."""
        return self._added(self._thoughts.rest())

    def finish(self) -> Finish:
        first = self.last if self._first is None else self._first
        answered = self.last if self._answered is None else self._answered
        counted = self._usage.completion_tokens if self._usage else 0
        return Finish(
            reason="length" if self._is_cut else self.reason,
            tokens=counted or self.tokens + self._thought.tokens,
            seconds=self.last - self.asked,
            writing=self.last - first,
            thoughts=self._thought.tokens,
            thinking=answered - first,
            said="".join(self._thoughts_said),
        )

    def _added(self, piece: Piece, thought: str = "") -> str:
        self._thought.add(len(thought) + len(piece.thought))
        if piece.thought:
            self._thoughts_said.append(piece.thought)
        text = piece.text
        if self._thought.chunks and not self.tokens:
            text = text.lstrip("\r\n")  # models separate thoughts and answer by blank lines
        room = self._answer_tokens * MOST_CHARACTERS - self._answer.characters
        if len(text) > room:
            self._is_cut, text = True, text[:room]
        if text:
            self._answered = self.last if self._answered is None else self._answered
        self._answer.add(len(text))
        return text
