"""Unanswered questions and answered threads in Redis, so that any process can continue with them."""

import logging
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis import Redis

from bot.language.question import Asked, Question, QuestionKey
from bot.prompting.conversation import Remembered
from bot.prompting.withdrawal import Why
from workers.deployment.events import DeploymentId

QUESTIONS = "mixtral:questions"

_LOG = logging.getLogger(__name__)

DEDUPLICATED_FOR = timedelta(hours=25)
"""Time for which a repeated delivery is recognized: longer than the age up to which a message is answered.

Slack repeats an event after one minute and after five, and a mention whenever its message is edited."""
_KEPT = int(DEDUPLICATED_FOR.total_seconds())

WITHDRAWN_FOR = timedelta(days=1)
"""Time for which no process answers a stopped or deleted question."""

THREADS_KEPT = timedelta(days=7)
"""Time after the last answer for which the bot answers in a thread without a mention, and prefers its deployment."""

CLOCKS_DIFFER = 2.0
"""Maximum difference in seconds between the clocks of Slack and the bot that a Stop takes into account."""

TEXTS_KEPT = timedelta(hours=1)
"""Time for which Redis holds the prompts and answers of a thread after the last answer. After that, the thread is read
from Slack."""

# Atomic: otherwise, after a crash between the two writes, Slack's retry would be dropped as a duplicate.
_ADD = """
if redis.call('GET', KEYS[3]) == 'deleted' then return 0 end
if not redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Asked).decode


class Questions:
    """The questions that have no answer yet."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._add: Any = redis.register_script(_ADD)

    def add(self, question: Question) -> Asked | None:
        """Store a new question, and return it; None if it was stored before, or if its message was deleted."""
        asked = Asked(question=question, asked_at=datetime.now(UTC))
        keys = [_asked(question.key), QUESTIONS, _asked(question.unedited)]
        return asked if self._add(keys, [_KEPT, question.key, _encode(asked)]) else None

    def forget(self, key: QuestionKey) -> None:
        """Accept a question again that was not asked: its button still works."""
        self._redis.delete(_asked(key))

    def claim(self, key: QuestionKey) -> bool:
        """Note that a message was reported; False if it was before, also as a question.

        The client repeats a call whose reply was late: it then finds the mark that it set itself.
        """
        mark = secrets.token_bytes(8)
        return bool(self._redis.set(_asked(key), mark, nx=True, ex=_KEPT)) or self._redis.get(_asked(key)) == mark

    def withdraw_in_thread(self, channel: str, thread: str, before: str) -> list[QuestionKey]:
        """Note that nobody wants the answers in a thread any more, and return the questions.

        `before`: ts; questions after it are left.
        """
        keys = [
            asked.question.key
            for asked in self.all()
            if thread_of(asked) == (channel, thread) and _asked_at(asked, thread) < float(before)
        ]
        for key in keys:
            self.withdraw(key, Why.STOPPED)
        return keys

    def withdraw_one(self, channel: str, key: QuestionKey) -> bool:
        """Record that the answer to a question is no longer wanted; False if it is not a question of this channel."""
        asked = self.get(key)
        if asked is None or asked.question.channel != channel:
            return False
        self.withdraw(key, Why.STOPPED)
        return True

    def withdraw_message(self, channel: str, ts: str) -> list[QuestionKey]:
        """Record that a message was deleted, and return its questions: those that it asks, or shows.

        A question whose event arrives after the deletion is not answered either, nor is an edited one.
        """
        self._redis.set(_asked(QuestionKey(f"{channel}:{ts}")), "deleted", ex=_KEPT)
        keys = [
            asked.question.key
            for asked in self.all()
            if asked.question.channel == channel and ts == (asked.question.message_ts or asked.thread)
        ]
        for key in keys:
            self.withdraw(key, Why.DELETED)
        return keys

    def withdraw_earlier(self, question: Question) -> list[QuestionKey]:
        """Record that a message was edited, and return the questions that it asked before and that are not answered.

        If Slack repeats the first one after the edit, it is not answered.
        """
        self.claim(question.unedited)
        asked_by = (question.channel, question.message_ts)
        keys = [
            asked.question.key
            for asked in self.all()
            if (asked.question.channel, asked.question.message_ts) == asked_by
            and float(asked.question.edited or 0) < float(question.edited or 0)
        ]
        for key in keys:
            self.withdraw(key, Why.DELETED)
        return keys

    def withdraw(self, key: QuestionKey, why: Why) -> None:
        """Record that a question is withdrawn."""
        self._redis.set(_withdrawn(key), why.value, ex=int(WITHDRAWN_FOR.total_seconds()))

    def withdrawn(self, keys: Collection[QuestionKey]) -> dict[QuestionKey, Why]:
        """Return the withdrawn ones of the questions, with the reasons."""
        found = self._redis.mget([_withdrawn(key) for key in keys]) if keys else []
        return {key: Why(why.decode()) for key, why in zip(keys, found, strict=True) if why is not None}

    def get(self, key: QuestionKey) -> Asked | None:
        stored = self._redis.hget(QUESTIONS, key)
        return self._read(key, stored) if stored is not None else None

    def put(self, asked: Asked) -> None:
        self._redis.hset(QUESTIONS, asked.question.key, _encode(asked))

    def remove(self, key: QuestionKey) -> None:
        self._redis.hdel(QUESTIONS, key)

    def all(self) -> list[Asked]:
        """Oldest first."""
        stored = self._redis.hgetall(QUESTIONS)
        found = (self._read(QuestionKey(key.decode()), value) for key, value in stored.items())
        return sorted((asked for asked in found if asked is not None), key=lambda asked: asked.asked_at)

    def _read(self, key: QuestionKey, stored: bytes) -> Asked | None:
        try:
            return _decode(stored)
        except msgspec.MsgspecError:
            _LOG.exception("The stored question %s cannot be read, and is removed.", key)
            self.remove(key)
            return None


class Threads:
    """Threads that the bot answered.

    Two hashes each: the deployment; and, for a shorter time, the prompts as `p:<ts>` and the answers as `a:<ts>`.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def knows(self, channel: str, root: str) -> bool:
        """Return whether the bot has answered in a thread."""
        return bool(self._redis.exists(_thread(channel, root)))

    def recall(self, channel: str, root: str) -> Remembered:
        deployment = self._redis.hget(_thread(channel, root), "deployment")
        texts = {name.decode(): text.decode() for name, text in self._redis.hgetall(_texts(channel, root)).items()}
        return Remembered(
            deployment=DeploymentId(deployment.decode()) if deployment else None,
            prompts={name[2:]: text for name, text in texts.items() if name.startswith("p:")},
            answers={name[2:]: text for name, text in texts.items() if name.startswith("a:")},
        )

    def prompted(self, channel: str, root: str, prompt: str, *, shown: str = "") -> None:
        """Store a prompt that a message of the bot shows. `shown`: its ts; default: it is the root of the thread."""
        self._write(_thread(channel, root), {"asked": "1"}, THREADS_KEPT)
        self._write(_texts(channel, root), {f"p:{shown or root}": prompt}, TEXTS_KEPT)

    def answered(self, asked: Asked, deployment: DeploymentId, said: str) -> None:
        """Store an answer under the messages in `asked.begun`, which show it."""
        channel, root, ts = asked.question.channel, asked.thread or "", asked.question.message_ts
        answers = {f"a:{ts}": "" if at else said for at, ts in enumerate(asked.begun)}
        prompts = {f"p:{ts}": asked.prompt} if ts else {}
        self._write(_thread(channel, root), {"deployment": deployment}, THREADS_KEPT)
        self._write(_texts(channel, root), {**prompts, **answers}, TEXTS_KEPT)

    def _write(self, key: str, fields: dict[str, str], kept: timedelta) -> None:
        if not fields:
            return
        with self._redis.pipeline() as together:
            together.hset(key, mapping=fields)
            together.expire(key, int(kept.total_seconds()))
            together.execute()


def thread_of(asked: Asked) -> tuple[str, str]:
    """Return the channel and the root of a question's thread; an empty root if it has none yet."""
    question = asked.question
    return question.channel, asked.thread or question.thread_ts or question.message_ts or ""


def _asked_at(asked: Asked, thread: str) -> float:
    """Return when a question was asked, in Unix seconds; one that a button asks again later than its message."""
    if asked.question.replaces:
        return asked.asked_at.timestamp() - CLOCKS_DIFFER
    return float(asked.question.message_ts or asked.shown or thread)


def _asked(key: QuestionKey) -> str:
    return f"mixtral:asked:{key}"


def _withdrawn(key: QuestionKey) -> str:
    return f"mixtral:withdrawn:{key}"


def _thread(channel: str, root: str) -> str:
    return f"mixtral:thread:{channel}:{root}"


def _texts(channel: str, root: str) -> str:
    return f"mixtral:texts:{channel}:{root}"
