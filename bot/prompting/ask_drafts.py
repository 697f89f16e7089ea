"""What the open Ask forms are about, in Redis: more than a form's metadata may contain, and nothing to be forged."""

import secrets
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct
from redis import Redis

from bot.language.quoted_message import QuotedMessage
from workers.deployment.events import DeploymentId

KEPT = timedelta(days=1)
"""Time for which a form can be submitted. Questions are deduplicated for longer."""

_encode = msgspec.json.Encoder().encode


class AskDraft(Struct, frozen=True, kw_only=True):
    """A question that a person is about to write."""

    channel: str = ""
    """Where it is asked; empty: in the person's direct messages with the bot."""
    thread: str | None = None
    """The thread that gets the answer; None: one of its own."""
    deployment: DeploymentId | None = None
    """None: the person chooses one."""
    quoted: QuotedMessage | None = None
    """The message that it is about."""


class AskDrafts:
    """Safe to use from several threads. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def add(self, user: str, draft: AskDraft) -> str:
        """Store the draft of a person; returns its id."""
        id_ = secrets.token_hex(12)
        self._redis.set(_key(user, id_), _encode(draft), ex=int(KEPT.total_seconds()))
        return id_

    def get(self, user: str, id_: str) -> AskDraft | None:
        """The draft of this person; None if there is none, or it has expired."""
        stored = self._redis.get(_key(user, id_))
        return msgspec.json.decode(stored, type=AskDraft) if stored is not None else None


def _key(user: str, id_: str) -> str:
    return f"mixtral:draft:{user}:{id_}"
