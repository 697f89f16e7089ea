"""PURE: builds the messages of a chat completion from a Slack thread."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from bot.language.grammar import addressed
from bot.language.message_command import was_command
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


class Turn(Struct, frozen=True, kw_only=True):
    """One message of the conversation, in the fields of a chat completion."""

    role: Literal["system", "user", "assistant"]
    content: str


class Remembered(Struct, frozen=True, kw_only=True):
    """What Redis holds of a thread in addition to Slack's messages."""

    deployment: DeploymentId | None = None
    """The deployment that answered last in the thread."""
    prompts: dict[str, str] = {}
    """Prompts without the deployment's name, by the ts of the message that asks or, for a command, shows them."""
    answers: dict[str, str] = {}
    """Answers by the ts of their first message; an empty string for each further message."""


def turns(
    thread: Iterable[Mapping[str, Any]],
    *,
    before: str | None,
    remembered: Remembered,
    ourselves: Identity,
    names: Sequence[str],
) -> list[Turn]:
    """Return what was said before the message with the ts `before`, oldest first; nothing if `before` is None.

    The bot's cards and notices are left out, and commands to it.
    """
    said: list[Turn] = []
    for message in sorted(thread, key=lambda m: float(m["ts"])):
        if before is None or float(message["ts"]) >= float(before):
            break
        turn = _turn(message, remembered, ourselves, names)
        if turn is not None and turn.content.strip():
            said.append(turn)
    return said


def from_memory(remembered: Remembered) -> list[dict[str, Any]]:
    """Return the messages of a thread that Redis holds, for `turns` when Slack cannot be read."""
    return [{"ts": ts} for ts in (*remembered.prompts, *remembered.answers)]


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
    if was_command(text, ourselves.user, names):
        return None  # its answer was for its author alone
    return Turn(role="user", content=addressed(typed(text, ourselves.user), names).text)
