"""What open forms and questions with buttons are about, in Redis: a button's value may be forged, and these not."""

import secrets
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import MsgspecError, Struct
from redis import Redis

from bot.language.question import Question
from bot.language.quoted_message import QuotedMessage
from workers.deployment.events import DeploymentId

KEPT = timedelta(days=1)
"""Time for which a form can be submitted. Questions are deduplicated for longer."""

_encode = msgspec.json.Encoder().encode


class AskDraft(Struct, frozen=True, kw_only=True, tag=True):
    """A question that a person is about to write."""

    channel: str = ""
    """Where it is asked; empty: in the person's direct messages with the bot."""
    thread: str | None = None
    """The thread that gets the answer; None: one of its own."""
    deployment: DeploymentId | None = None
    """None: the person chooses one."""
    quoted: QuotedMessage | None = None
    """The message that it is about."""


class ChoiceDraft(Struct, frozen=True, kw_only=True, tag=True):
    """A question that several deployments can answer, until the person has chosen one."""

    question: Question
    """Its text is without the name of a deployment."""


class LaunchDraft(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A launch that a person is about to enter."""

    channel: str
    """Where the form was opened; empty on the Home tab."""
    asks: bool
    """Whether the channel is an input of the form."""
    stop_after_idle: str = ""
    hours: str = ""
    """The clocks of the command that opened the form."""


class ConfigDraft(Struct, frozen=True, kw_only=True, tag=True):
    """Settings that a person is about to change."""

    channel: str


Draft = TypeVar("Draft", bound=Struct)


class Drafts:
    """Each is one person's. Safe to use from several threads. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def add(self, user: str, draft: Struct) -> str:
        """Store the draft of a person; returns its id. The draft's class has a tag."""
        id_ = secrets.token_hex(12)
        self._redis.set(_key(user, id_), _encode(draft), ex=int(KEPT.total_seconds()))
        return id_

    def get(self, user: str, id_: str, kind: type[Draft]) -> Draft | None:
        """The draft of this person; None if there is none, it is of another kind, or it has expired."""
        stored = self._redis.get(_key(user, id_)) if _is_id(id_) else None
        try:
            return msgspec.json.decode(stored, type=kind) if stored is not None else None
        except MsgspecError:
            return None


def _is_id(text: str) -> bool:
    return len(text) == 2 * 12 and text.isalnum()


def _key(user: str, id_: str) -> str:
    return f"mixtral:draft:{user}:{id_}"
