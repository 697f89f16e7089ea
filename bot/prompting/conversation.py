"""PURE: builds the messages of a chat completion from a Slack thread."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bot.language.grammar import addressed
from bot.language.question import typed
from bot.prompting.written import quoted, written
from bot.slack.message import Identity
from workers.deployment.events import DeploymentId

ANSWER_EVENT = "mixtral_answer"
"""The event type in the metadata of an answer's messages."""

QUESTION_EVENT = "mixtral_question"
"""The event type in the metadata of a message that shows a command's prompt."""

_WRITTEN_BY_PEOPLE = frozenset({None, "", "bot_message", "file_share", "me_message", "thread_broadcast"})
"""Message subtypes with text that a user or bot wrote; the others report joins, deletions and the like."""

CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 4096
"""Maximum length of one answer. A person who writes "continue" gets more."""
ASSUMED_CONTEXT = 8192
"""Context length in tokens of an engine that does not report one."""


class Turn(Struct, frozen=True, kw_only=True):
    """One message of the conversation, in the fields of a chat completion."""

    role: Literal["user", "assistant"]
    content: str


class Remembered(Struct, frozen=True, kw_only=True):
    """What Redis holds of a thread in addition to Slack's messages."""

    deployment: DeploymentId | None = None
    """The deployment that answered last in the thread."""
    prompts: dict[str, str] = {}
    """Prompts without the deployment's name, by the ts of the message that asks or, for a command, shows them."""
    answers: dict[str, str] = {}
    """Answers by the ts of their first message; an empty string for each further message."""


class TokenBudget(Struct, frozen=True, kw_only=True):
    """How a context is divided between prompt and answer."""

    prompt: int
    """Characters."""
    answer: int
    """Tokens."""


def budget(context: int | None) -> TokenBudget:
    """Divide a context of `context` tokens. The answer gets an eighth, since small models write up to any limit."""
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
    """Return the turns before the message with the ts `before`, oldest first; none if `before` is None.

    The bot's cards and notices are left out. Consecutive messages of one role are joined into one turn.
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
    """Return the messages of a thread that Redis holds, for `turns` when Slack cannot be read."""
    return [{"ts": ts} for ts in (*remembered.prompts, *remembered.answers)]


def asking(said: Sequence[Turn], prompt: str, characters: int) -> list[Turn]:
    """Return the conversation with the new question, within `characters`: the oldest turns are dropped first.

    The question itself is never cut. Chat templates require that the first turn is a user's and that roles alternate.
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
    if message.get("subtype") not in _WRITTEN_BY_PEOPLE:
        return None
    text = message.get("text") or ""
    if message.get("user") == ourselves.user or (ourselves.bot and message.get("bot_id") == ourselves.bot):
        event = (message.get("metadata") or {}).get("event_type")
        if event == ANSWER_EVENT:
            return Turn(role="assistant", content=written(message))
        return Turn(role="user", content=quoted(text)) if event == QUESTION_EVENT else None
    return Turn(role="user", content=addressed(typed(text, ourselves.user), names).text)
