"""PURE: fits a conversation into a model's context, with room for thoughts and answer."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from bot.prompting.conversation import Turn

ANSWER_TOKENS = 4096
"""Maximum length of one answer. A person who writes "continue" gets more."""
THOUGHT_TOKENS = 16_384
"""Maximum length of the thoughts before an answer."""
LEAST_TOKENS = 256
"""Room for an answer with which a question is tried last, before it is too long."""
ASSUMED_CONTEXT = 8192
"""Context length in tokens of an engine that does not report one."""

_CHARACTERS_PER_TOKEN = 4
_TURN_TOKENS = 16
"""Maximum number of tokens that a chat template adds to a turn."""
_TEMPLATE_TOKENS = 256
"""Maximum number of tokens that a chat template adds to a conversation."""
_UNCOUNTED_TOKENS = 64
"""Maximum number of tokens that an engine adds to what its tokenizer counts, as vLLM does for gpt-oss."""

TokenCount: TypeAlias = Callable[[Sequence[Turn]], int | None]
"""Counts the tokens of a prompt; None if the engine has no tokenizer that can be asked."""


class TokenBudget(Struct, frozen=True, kw_only=True):
    """How a context is divided. In tokens."""

    prompt: int
    thoughts: int
    answer: int


class Fitted(Struct, frozen=True, kw_only=True):
    """A conversation as it is sent. In tokens."""

    messages: tuple[Turn, ...]
    """The messages that are kept, oldest first. The last one is the question."""
    answer: int
    """Maximum length of the answer."""
    thoughts: int
    """Maximum length of the thoughts, in addition."""
    system: str = ""
    """The system prompt, which is never left out."""
    is_folded: bool = False
    """Whether the system prompt begins the first turn, for a chat template without a turn of its own for it."""

    @property
    def turns(self) -> list[Turn]:
        return headed(self.messages, self.system, is_folded=self.is_folded)

    def less(self) -> "Fitted | None":
        """Return half of the conversation, for an engine to which this one is too long; None if nothing is left out.

        The last try is the question alone, with little room for its answer.
        """
        *said, question = self.messages
        total = self.answer + self.thoughts
        if said:
            kept = asking(said, question.content, _estimate(self.messages) // 2)
            return self._with(_divided(kept, total // 2, self.answer))
        return self._with(_divided(self.messages, LEAST_TOKENS, self.answer)) if total > LEAST_TOKENS else None

    def _with(self, other: "Fitted") -> "Fitted":
        return replace(other, system=self.system, is_folded=self.is_folded)


def budget(context: int | None) -> TokenBudget:
    """Divide a context of `context` tokens.

    The answer gets an eighth, since small models write up to any limit, and the thoughts before it a quarter.
    """
    tokens = context or ASSUMED_CONTEXT
    answer = max(min(ANSWER_TOKENS, tokens // 8), 1)
    thoughts = min(THOUGHT_TOKENS, tokens // 4)
    return TokenBudget(prompt=tokens - answer - thoughts, thoughts=thoughts, answer=answer)


def fitted(
    said: Sequence[Turn],
    prompt: str,
    context: int | None,
    count: TokenCount,
    *,
    system: str = "",
    is_folded: bool = False,
) -> Fitted:
    """Return the newest messages of a conversation that fit, and the room that they leave for thoughts and answer.

    Where no count is available, a character outside ASCII is taken for a token. Where the context is not known,
    thoughts get no more than their quarter: an engine with a smaller one may refuse the request.
    """
    room, tokens = budget(context), context or ASSUMED_CONTEXT
    most = tokens if context else room.answer + room.thoughts
    size = 2 * room.prompt  # by estimate: some tokenizers need half of the tokens
    head = [Turn(role="system", content=system)] if system else []

    def divided(kept: Sequence[Turn], total: int) -> Fitted:
        return replace(_divided(kept, total, room.answer), system=system, is_folded=is_folded)

    while True:
        kept = asking(said, prompt, size - _estimate(head))
        exact = _bound([*head, *kept])
        if exact > room.prompt:
            counted = count(headed(kept, system, is_folded=is_folded))
            if counted is None:
                kept = asking(said, prompt, room.prompt - _estimate(head))
                return divided(kept, min(tokens - _estimate([*head, *kept]), room.answer + room.thoughts))
            exact = counted + _UNCOUNTED_TOKENS
        if exact <= room.prompt or len(kept) == 1:
            return divided(kept, min(tokens - exact, most))
        estimate = _estimate([*head, *kept])
        size = min(estimate * room.prompt // exact, estimate - 1)


def asking(said: Sequence[Turn], prompt: str, size: int) -> list[Turn]:
    """Return the messages of a conversation with the new question: the newest ones, of `size` tokens by estimate.

    The question itself is never cut. Chat templates require that the first turn is a user's.
    """
    kept = [Turn(role="user", content=prompt)]
    left = size - _estimate(kept)
    for turn in reversed(said):
        left -= _estimate([turn])
        if left < 0:
            break
        kept.append(turn)
    while kept[-1].role == "assistant":
        kept.pop()
    return kept[::-1]


def joined(messages: Iterable[Turn]) -> list[Turn]:
    """Return the turns: consecutive messages of one role are joined. Chat templates require that roles alternate."""
    turns: list[Turn] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            turns[-1] = replace(message, content=f"{turns[-1].content}\n\n{message.content}")
        else:
            turns.append(message)
    return turns


def headed(messages: Iterable[Turn], system: str, *, is_folded: bool = False) -> list[Turn]:
    """Return the turns with the system prompt: as the first one, or `is_folded` into the first one."""
    turns = joined(messages)
    if not system:
        return turns
    if not is_folded:
        return [Turn(role="system", content=system), *turns]
    return joined([Turn(role="user", content=system), *turns])


def _divided(messages: Iterable[Turn], total: int, answer: int) -> Fitted:
    total = max(min(total, answer + THOUGHT_TOKENS), min(LEAST_TOKENS, answer))
    answer = min(answer, total)
    return Fitted(messages=tuple(messages), answer=answer, thoughts=total - answer)


def _estimate(messages: Iterable[Turn]) -> int:
    return sum(_TURN_TOKENS + _tokens(message.content) for message in messages)


def _tokens(text: str) -> int:
    ascii_ = len(text.encode("ascii", "ignore"))
    return -(-ascii_ // _CHARACTERS_PER_TOKEN) + len(text) - ascii_


def _bound(messages: Iterable[Turn]) -> int:
    """Return a number of tokens that no tokenizer exceeds: each token has a byte or more."""
    sizes = (_TURN_TOKENS + len(message.content.encode("utf-8", "surrogatepass")) for message in messages)
    return _TEMPLATE_TOKENS + sum(sizes)
