"""PURE: builds the messages of a chat completion from a Slack thread."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from bot.language.grammar import addressed
from bot.language.message_command import was_command
from bot.language.question import typed
from bot.prompting.attached import Attachment, Image, Text, attached
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
    attached: tuple[Attachment, ...] = ()
    """What Slack lists at the message."""
    texts: tuple[Text, ...] = ()
    """What was read of it, before the words of the message."""
    images: tuple[Image, ...] = ()
    unread: tuple[str, ...] = ()
    """Names of what the model does not get."""

    @property
    def whole(self) -> str:
        """The text of the message with the texts attached to it."""
        names = " and ".join(self.unread)
        unread = (f"({names} {'is' if len(self.unread) == 1 else 'are'} attached, and cannot be shown to you.)",)
        parts = (*(text.fenced for text in self.texts), *(unread if names else ()), self.content)
        return "\n\n".join(filter(None, parts))

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the message can be sent."""
        return not (self.content.strip() or self.texts or self.images)


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

    The bot's cards and notices are left out, and commands to it. An answer that replaces another one is
    placed where that one was.
    """
    said: list[Turn] = []
    for place, message in _placed(thread, remembered, ourselves):
        if before is None or place >= float(before):
            break
        turn = _turn(message, remembered, ourselves, names)
        if turn is not None and (turn.content.strip() or turn.attached):
            said.append(turn)
    return said


def _placed(
    thread: Iterable[Mapping[str, Any]], remembered: Remembered, ourselves: Identity
) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the messages in the order of the conversation, without the answers that were replaced.

    An answer without a text, which was stopped before its first word, replaces none.
    """
    messages = sorted(thread, key=lambda m: float(m["ts"]))
    answers = {message["ts"]: mark for message in messages if (mark := _mark(message, ourselves))}
    first: dict[str, float] = {}
    for ts, mark in answers.items():
        first.setdefault(mark["question"], first.get(mark.get("replaces", ""), float(ts)))
    said = {message["ts"] for message in messages if message["ts"] in answers and _answer(message, remembered).strip()}
    replaced = {mark.get("replaces") for ts, mark in answers.items() if ts in said}
    placed = [
        (first[answers[message["ts"]]["question"]] if message["ts"] in answers else float(message["ts"]), message)
        for message in messages
        if answers.get(message["ts"], {}).get("question") not in replaced - {None}
    ]
    return sorted(placed, key=lambda each: each[0])


def _mark(message: Mapping[str, Any], ourselves: Identity) -> dict[str, str]:
    """Return the payload of an answer's metadata; empty for other messages."""
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    is_answer = metadata.get("event_type") == ANSWER_EVENT and "question" in payload
    return payload if is_answer and _is_ours(message, ourselves) else {}


def _answer(message: Mapping[str, Any], remembered: Remembered) -> str:
    return remembered.answers.get(message["ts"], written(message))


def _is_ours(message: Mapping[str, Any], ourselves: Identity) -> bool:
    return message.get("user") == ourselves.user or bool(ourselves.bot and message.get("bot_id") == ourselves.bot)


def prompt_at(
    ts: str, thread: Iterable[Mapping[str, Any]], remembered: Remembered, ourselves: Identity, names: Sequence[str]
) -> str:
    """Return the question that a message of the thread asks or shows, without the name of a deployment."""
    if ts in remembered.prompts:
        return remembered.prompts[ts]
    found = (_turn(message, remembered, ourselves, names) for message in thread if message["ts"] == ts)
    return next((turn.content for turn in found if turn is not None and turn.role == "user"), "")


def news(said: Sequence[Turn]) -> int:
    """Return the number of messages up to the last answer. What is attached to the others is new to the bot."""
    return next((at for at in range(len(said), 0, -1) if said[at - 1].role == "assistant"), 0)


def from_memory(remembered: Remembered) -> list[dict[str, Any]]:
    """Return the messages of a thread that Redis holds, for `turns` when Slack cannot be read."""
    return [{"ts": ts} for ts in (*remembered.prompts, *remembered.answers)]


def _turn(message: Mapping[str, Any], remembered: Remembered, ourselves: Identity, names: Sequence[str]) -> Turn | None:
    ts = message["ts"]
    if ts in remembered.prompts:
        return Turn(role="user", content=remembered.prompts[ts], attached=attached(message))
    if ts in remembered.answers:
        return Turn(role="assistant", content=remembered.answers[ts])
    if message.get("subtype") not in _WRITTEN_BY_PEOPLE:
        return None
    text = message.get("text") or ""
    if _is_ours(message, ourselves):
        event = (message.get("metadata") or {}).get("event_type")
        if event == ANSWER_EVENT:
            return Turn(role="assistant", content=written(message))
        return Turn(role="user", content=quoted(text)) if event == QUESTION_EVENT else None
    if was_command(text, ourselves.user, names):
        return None  # its answer was for its author alone
    return Turn(role="user", content=addressed(typed(text, ourselves.user), names).text, attached=attached(message))
