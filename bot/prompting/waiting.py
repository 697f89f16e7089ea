"""PURE: which questions may wait for their deployment: for how long, and how many of one person."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.language.question import Asked

WAITS_FOR = timedelta(days=7)
"""Maximum age of a question whose deployment cannot answer: after that, nobody expects an answer any more."""
MAX_WAITING = 20
"""Maximum number of questions of one person that wait for one deployment."""

WAITED = (
    f"This question waited for {WAITS_FOR.days} days, and was given up. `/mixtral status` shows which deployments can "
    "answer. Ask it again."
)


def has_waited_too_long(asked: Asked, now: datetime) -> bool:
    """Whether a question is given up unless its deployment can answer it now."""
    return now - asked.asked_at > WAITS_FOR


def is_one_too_many(asked: Asked, unanswered: Sequence[Asked]) -> bool:
    """Whether a question that does not wait yet is one too many of its person.

    Those that were asked earlier count too, since several are taken at once. `unanswered`: all questions.
    """
    theirs = (
        other
        for other in unanswered
        if (other.deployment, other.question.user) == (asked.deployment, asked.question.user)
    )
    return sum(other.notice is not None or other.asked_at < asked.asked_at for other in theirs) >= MAX_WAITING


def too_many(name: str) -> str:
    """The sentence about a question that is one too many. `name`: of its deployment."""
    return (
        f"{MAX_WAITING} of your questions wait for **{name}** already, which is the maximum, so this one is not kept. "
        f"Ask it again when {name} answers (`/mixtral status {name}` shows what it waits for), or delete one of those "
        "messages first."
    )
