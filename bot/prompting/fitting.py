"""PURE: fits a conversation into a model's context, with room for thoughts and answer."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from bot.prompting.attached import Text, cut
from bot.prompting.conversation import Turn

ANSWER_TOKENS = 4096
"""Maximum length of one answer. A person who writes "continue" gets more."""
THOUGHT_TOKENS = 16_384
"""Maximum length of the thoughts before an answer."""
LEAST_TOKENS = 256
"""Room for an answer with which a question is tried last, before it is too long."""
ASSUMED_CONTEXT = 8192
"""Context length in tokens of an engine that does not report one."""

MOST_COUNTS = 8
"""Maximum number of times that a tokenizer is asked for one question. Most agree at the second or third."""

_CHARACTERS_PER_TOKEN = 4
_TURN_TOKENS = 16
"""Maximum number of tokens that a chat template adds to a turn."""
_TEMPLATE_TOKENS = 256
"""Maximum number of tokens that a chat template adds to a conversation."""
_CUT_TOKENS = 32
"""Maximum number of tokens of the remark that a text was cut."""
_IMAGE_TOKENS = 1500
"""Number of tokens that is assumed for an image; engines count them differently."""
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
        total, estimate = self.answer + self.thoughts, _estimate(self.messages)
        if said:
            kept = asking(said, question, max(estimate // 2, _estimate([question])))
            return self._with(_divided(kept, total // 2, self.answer))
        if any(text.text for text in question.texts):
            return self._with(_divided(asking([], question, estimate // 2), total, self.answer))
        if question.images:
            return self.with_images(0)
        return self._with(_divided(self.messages, LEAST_TOKENS, self.answer)) if total > LEAST_TOKENS else None

    def _with(self, other: "Fitted") -> "Fitted":
        return replace(other, system=self.system, is_folded=self.is_folded)

    def with_images(self, most: int) -> "Fitted":
        """Return the conversation with the first images of the newest messages, `most` in all."""
        kept: list[Turn] = []
        for message in reversed(self.messages):
            images = message.images[:most]
            names = tuple(image.name for image in message.images[len(images) :])
            kept.append(replace(message, images=images, unread=(*message.unread, *names)))
            most -= len(images)
        return replace(self, messages=tuple(reversed(kept)))


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
    question: Turn,
    context: int | None,
    count: TokenCount,
    *,
    system: str = "",
    is_folded: bool = False,
) -> Fitted:
    """Return the newest messages of a conversation that fit, and the room that they leave for thoughts and answer.

    A text that is attached is cut if it does not fit, that of the question last.

    Where no count is available, or `MOST_COUNTS` did not suffice, a character outside ASCII is taken for a token. Where
    the context is not known, thoughts get no more than their quarter: an engine with a smaller one may refuse the
    request.
    """
    room, tokens = budget(context), context or ASSUMED_CONTEXT
    most = tokens if context else room.answer + room.thoughts
    size = 2 * room.prompt  # by estimate: some tokenizers need half of the tokens
    head = [Turn(role="system", content=system)] if system else []

    def divided(kept: Sequence[Turn], total: int) -> Fitted:
        return replace(_divided(kept, total, room.answer), system=system, is_folded=is_folded)

    for at in range(MOST_COUNTS):
        kept = asking(said, question, size - _estimate(head))
        exact = _bound([*head, *kept])
        if exact > room.prompt:
            counted = count(headed(kept, system, is_folded=is_folded))
            if counted is None:
                break
            exact = counted + _UNCOUNTED_TOKENS + _IMAGE_TOKENS * sum(len(message.images) for message in kept)
        if exact <= room.prompt or (len(kept) == 1 and not any(text.text for text in kept[0].texts)):
            return divided(kept, min(tokens - exact, most))
        estimate = _estimate([*head, *kept])
        less = size - 1 if at < MOST_COUNTS // 2 else size // 2  # what is left by then fits whatever is counted
        size = min(estimate * room.prompt // exact, estimate - 1, less)
    kept = asking(said, question, min(size, room.prompt) - _estimate(head))
    return divided(kept, min(tokens - _estimate([*head, *kept]), room.answer + room.thoughts))


def asking(said: Sequence[Turn], question: Turn, size: int) -> list[Turn]:
    """Return the messages of a conversation with the new question: the newest ones, of `size` tokens by estimate.

    The words of the question are never cut, but the texts attached to it are. Chat templates require that the first
    turn is a user's.
    """
    kept = [_within(question, size)]
    left = size - _estimate(kept)
    for turn in reversed(said):
        part = _within(turn, left)
        left -= _estimate([part])
        if left < 0:
            break
        kept.append(part)
    while kept[-1].role == "assistant":
        kept.pop()
    return kept[::-1]


def joined(messages: Iterable[Turn]) -> list[Turn]:
    """Return the turns, with what is attached to them: consecutive messages of one role are joined.

    Chat templates require that roles alternate.
    """
    turns: list[Turn] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            before = turns.pop()
            content, images = f"{before.content}\n\n{message.whole}", (*before.images, *message.images)
        else:
            content, images = message.whole, message.images
        turns.append(Turn(role=message.role, content=content, images=images))
    return turns


def headed(messages: Iterable[Turn], system: str, *, is_folded: bool = False) -> list[Turn]:
    """Return the turns with the system prompt: as the first one, or `is_folded` into the first one."""
    turns = joined(messages)
    if not system:
        return turns
    if not is_folded:
        return [Turn(role="system", content=system), *turns]
    return joined([Turn(role="user", content=system), *turns])


def _within(message: Turn, size: int) -> Turn:
    """Return a message whose attached texts are cut in proportion, to `size` tokens by estimate."""
    excess = _estimate([message]) - size
    if excess <= 0 or not message.texts:
        return message
    sizes = [_tokens(text.text.rstrip()) for text in message.texts]  # a prompt has no blanks at the end of a text
    total = sum(sizes)
    kept = max(total - excess - _CUT_TOKENS * len(sizes), 0)
    texts = (_of_tokens(text, size * kept // (total or 1)) for text, size in zip(message.texts, sizes, strict=True))
    return replace(message, texts=tuple(texts))


def _of_tokens(text: Text, most: int) -> Text:
    """Return the longest beginning of a text of `most` tokens by estimate."""
    length = bisect_right(range(len(text.text)), most, key=lambda end: _tokens(text.text[:end])) - 1
    return cut(text, max(length, 0))


def _divided(messages: Iterable[Turn], total: int, answer: int) -> Fitted:
    total = max(min(total, answer + THOUGHT_TOKENS), min(LEAST_TOKENS, answer))
    answer = min(answer, total)
    return Fitted(messages=tuple(messages), answer=answer, thoughts=total - answer)


def _estimate(messages: Iterable[Turn]) -> int:
    return sum(_TURN_TOKENS + _IMAGE_TOKENS * len(message.images) + _tokens(message.whole) for message in messages)


def _tokens(text: str) -> int:
    ascii_ = len(text.encode("ascii", "ignore"))
    return -(-ascii_ // _CHARACTERS_PER_TOKEN) + len(text) - ascii_


def _bound(messages: Iterable[Turn]) -> int:
    """Return a number of tokens that no tokenizer exceeds: each token has a byte or more."""
    sizes = (
        _TURN_TOKENS + _IMAGE_TOKENS * len(message.images) + len(message.whole.encode("utf-8", "surrogatepass"))
        for message in messages
    )
    return _TEMPLATE_TOKENS + sum(sizes)
