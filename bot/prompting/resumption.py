"""PURE: which messages are those of a process that died before it could write them down."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.language.question import Asked, QuestionKey
from bot.prompting.conversation import ANSWER_EVENT, Remembered
from bot.slack.message import JSON, Identity, bears

QUESTION_EVENT = "mixtral_question"
"""The event type in the metadata of a message that shows a command's prompt."""
NOTICE_EVENT = "mixtral_notice"
"""The event type in the metadata of our other messages in a thread."""


def metadata(event: str, key: QuestionKey) -> JSON:
    """What marks a message as belonging to a question."""
    return {"event_type": event, "event_payload": {"question": key}}


def shown_prompt(channel: Iterable[Mapping[str, Any]], key: QuestionKey) -> str | None:
    """The message that shows a command's prompt, if it was posted."""
    return next((str(m["ts"]) for m in channel if bears(m, metadata(QUESTION_EVENT, key))), None)


def orphans(
    thread: Iterable[Mapping[str, Any]], asked: Asked, others: Iterable[Asked], ourselves: Identity, known: Remembered
) -> tuple[str, ...]:
    """The messages of an answer to this question that nobody has written down, oldest first.

    A stream carries no metadata until it ends. Where this question was starting one, whatever is ours, unmarked and
    unclaimed must be it, unless another question of the thread is starting one too. `others` and `known` must have been
    read after the thread.
    """
    root = asked.thread or ""
    claimed = {*known.answers, *known.prompts, root, *asked.begun, asked.notice or ""}
    beside = [other for other in others if other.question.key != asked.question.key]
    claimed.update(ts for other in beside for ts in (*other.begun, other.notice or ""))
    starting = (asked.question.channel, root)
    certain = not any(o.starting and (o.question.channel, o.thread) == starting for o in beside)
    unmarked = asked.starting is not None and certain
    after = float(asked.question.message_ts or asked.thread or 0)
    found = [
        str(m["ts"])
        for m in thread
        if float(m["ts"]) > after
        and m["ts"] not in claimed
        and _ours(m, ourselves)
        and (
            bears(m, metadata(ANSWER_EVENT, asked.question.key))
            or (unmarked and not (m.get("metadata") or {}).get("event_type"))
        )
    ]
    return tuple(sorted(found, key=float))


def _ours(message: Mapping[str, Any], ourselves: Identity) -> bool:
    return bool(ourselves.user) and message.get("user") == ourselves.user
