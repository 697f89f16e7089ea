"""PURE: finds messages of a process that died before it recorded them."""

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from bot.language.question import Asked, QuestionKey
from bot.prompting.conversation import ANSWER_EVENT, QUESTION_EVENT, Remembered
from bot.slack.message import JSON, Identity, bears

NOTICE_EVENT = "mixtral_notice"
"""The event type in the metadata of the bot's other messages in a thread."""


CLOCKS_DIFFER = timedelta(minutes=1)
"""Maximum difference between the clocks of Slack and the bot."""


def metadata(event: str, key: QuestionKey, replaces: QuestionKey | None = None) -> JSON:
    """Return the metadata of a message that belongs to a question. `replaces`: as in `Question`."""
    more = {"replaces": replaces} if replaces else {}
    return {"event_type": event, "event_payload": {"question": key, **more}}


def shown_prompt(channel: Iterable[Mapping[str, Any]], key: QuestionKey) -> str | None:
    """Return the ts of the message that shows a command's prompt; None if there is none in `channel`."""
    return next((str(m["ts"]) for m in channel if bears(m, metadata(QUESTION_EVENT, key))), None)


def orphans(
    thread: Iterable[Mapping[str, Any]], asked: Asked, others: Iterable[Asked], ourselves: Identity, known: Remembered
) -> tuple[str, ...]:
    """Return the ts of each message of an answer to this question that is not recorded, oldest first.

    A stream has no metadata until it ends. If this question was starting a stream, an unmarked and unrecorded message
    of the bot is that stream, unless it is older, or another question of the thread was starting one too. `others` and
    `known` must be read after the thread.
    """
    root = asked.thread or ""
    claimed = {*known.answers, *known.prompts, root, *asked.begun, asked.notice or ""}
    beside = [other for other in others if other.question.key != asked.question.key]
    claimed.update(ts for other in beside for ts in (*other.begun, other.notice or ""))
    starting = (asked.question.channel, root)
    certain = not any(o.starting and (o.question.channel, o.thread) == starting for o in beside)
    began = (asked.starting - CLOCKS_DIFFER).timestamp() if asked.starting is not None and certain else math.inf
    after = float(asked.question.message_ts or asked.thread or 0)
    found = [
        str(m["ts"])
        for m in thread
        if float(m["ts"]) > after
        and m["ts"] not in claimed
        and _ours(m, ourselves)
        and (
            bears(m, metadata(ANSWER_EVENT, asked.question.key))
            or (float(m["ts"]) > began and not (m.get("metadata") or {}).get("event_type"))
        )
    ]
    return tuple(sorted(found, key=float))


def _ours(message: Mapping[str, Any], ourselves: Identity) -> bool:
    return bool(ourselves.user) and message.get("user") == ourselves.user
