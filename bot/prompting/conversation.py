"""PURE: from a thread to the messages of a chat completion."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bot.language.grammar import addressed
from bot.language.question import typed
from bot.language.typed_text import plain
from bot.slack.message import Identity
from workers.deployment.events import DeploymentId

ANSWER_EVENT = "mixtral_answer"
"""The event type in the metadata of an answer's messages."""

_SAID = frozenset({None, "", "bot_message", "file_share", "me_message", "thread_broadcast"})
"""Subtypes that carry somebody's words; the others tell of joins, deletions and the like."""

CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 4096
"""Whoever wants more writes "continue"."""
ASSUMED_CONTEXT = 8192
"""Tokens, for an engine that does not say."""


class Turn(Struct, frozen=True, kw_only=True):
    """One message of the conversation, as the engine wants it."""

    role: Literal["user", "assistant"]
    content: str


class Remembered(Struct, frozen=True, kw_only=True):
    """What we know of a thread beside what Slack tells."""

    deployment: DeploymentId | None = None
    """The one that answered last."""
    prompts: dict[str, str] = {}
    """Prompts without their address, by the message that puts or, for a command, shows them."""
    answers: dict[str, str] = {}
    """What the model said, by the answer's first message; empty for its further messages."""


class TokenBudget(Struct, frozen=True, kw_only=True):
    """How a context is divided."""

    prompt: int
    """Characters."""
    answer: int
    """Tokens."""


def budget(context: int | None) -> TokenBudget:
    """Divide a context of so many tokens: an eighth of it is for the answer, for small models ramble to any limit."""
    tokens = context or ASSUMED_CONTEXT
    answer = max(min(ANSWER_TOKENS, tokens // 8), 1)
    return TokenBudget(prompt=(tokens - answer) * CHARACTERS_PER_TOKEN, answer=answer)


def turns(
    thread: Iterable[Mapping[str, Any]],
    *,
    before: str | None,
    remembered: Remembered,
    ourselves: Identity,
    names: Sequence[str],
) -> list[Turn]:
    """Who said what before a message (by its ts; None: nobody yet), oldest first.

    Cards and notices of ours are nobody's words. Who speaks twice in a row has one turn.
    """
    said: list[Turn] = []
    for message in sorted(thread, key=lambda m: float(m["ts"])):
        if before is None or float(message["ts"]) >= float(before):
            break
        turn = _turn(message, remembered, ourselves, names)
        if turn is None or not turn.content.strip():
            continue
        if said and said[-1].role == turn.role:
            said[-1] = replace(turn, content=f"{said[-1].content}\n\n{turn.content}")
        else:
            said.append(turn)
    return said


def from_memory(remembered: Remembered) -> list[dict[str, Any]]:
    """A thread as far as it is known without Slack, for `turns`."""
    return [{"ts": ts} for ts in (*remembered.prompts, *remembered.answers)]


def asking(said: Sequence[Turn], prompt: str, characters: int) -> list[Turn]:
    """The conversation with its new question, without as many of the oldest turns as do not fit.

    The question itself is never cut. The first turn is a person's and the roles take turns, as templates demand.
    """
    if said and said[-1].role == "user":
        said, prompt = said[:-1], f"{said[-1].content}\n\n{prompt}"
    kept = [Turn(role="user", content=prompt)]
    left = characters - len(prompt)
    for turn in reversed(said):
        left -= len(turn.content)
        if left < 0:
            break
        kept.append(turn)
    if kept[-1].role == "assistant":
        kept.pop()
    return kept[::-1]


def _turn(message: Mapping[str, Any], remembered: Remembered, ourselves: Identity, names: Sequence[str]) -> Turn | None:
    ts = message["ts"]
    if ts in remembered.prompts:
        return Turn(role="user", content=remembered.prompts[ts])
    if ts in remembered.answers:
        return Turn(role="assistant", content=remembered.answers[ts])
    if message.get("subtype") not in _SAID:
        return None
    text = message.get("text") or ""
    if message.get("user") == ourselves.user or (ourselves.bot and message.get("bot_id") == ourselves.bot):
        is_answer = (message.get("metadata") or {}).get("event_type") == ANSWER_EVENT
        return Turn(role="assistant", content=plain(text)) if is_answer else None
    return Turn(role="user", content=addressed(typed(text, ourselves.user), names).text)
