"""Unanswered questions and answered threads in Redis, so that any process can continue with them."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis import Redis

from bot.language.question import Asked, Question, QuestionKey
from bot.prompting.conversation import Remembered
from workers.deployment.events import DeploymentId

QUESTIONS = "mixtral:questions"

_LOG = logging.getLogger(__name__)

DEDUPLICATED_FOR = timedelta(hours=1)
"""Time for which a repeated delivery is recognized. Slack repeats an event after one minute and after five."""

THREADS_KEPT = timedelta(days=7)
"""Time for which Redis holds a thread. After that, the thread is read only from Slack."""

# Atomic: after a crash between the two writes, Slack's retry would count as a duplicate, and not be answered.
_ADD = """
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

    def add(self, question: Question) -> bool:
        """Store a new question; False if it was stored before."""
        asked = Asked(question=question, asked_at=datetime.now(UTC))
        keys = [f"mixtral:asked:{question.key}", QUESTIONS]
        kept = int(DEDUPLICATED_FOR.total_seconds())
        return bool(self._add(keys, [kept, question.key, _encode(asked)]))

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
    """Prompts and answers of threads. One hash each: `deployment`, `p:<ts>` prompts, `a:<ts>` answers."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def knows(self, channel: str, root: str) -> bool:
        """Return whether the bot has answered in a thread."""
        return bool(self._redis.exists(_key(channel, root)))

    def recall(self, channel: str, root: str) -> Remembered:
        fields = {k.decode(): v.decode() for k, v in self._redis.hgetall(_key(channel, root)).items()}
        deployment = fields.pop("deployment", None)
        return Remembered(
            deployment=DeploymentId(deployment) if deployment else None,
            prompts={name[2:]: text for name, text in fields.items() if name.startswith("p:")},
            answers={name[2:]: text for name, text in fields.items() if name.startswith("a:")},
        )

    def prompted(self, channel: str, root: str, prompt: str) -> None:
        """Store a command's prompt, which the root of the thread shows."""
        self._write(channel, root, {f"p:{root}": prompt})

    def answered(self, asked: Asked, deployment: DeploymentId, said: str) -> None:
        """Store an answer under the messages in `asked.begun`, which show it."""
        question, root = asked.question, asked.thread or ""
        answers = {f"a:{ts}": "" if at else said for at, ts in enumerate(asked.begun)}
        prompts = {f"p:{question.message_ts}": asked.prompt} if question.message_ts else {}
        self._write(question.channel, root, {"deployment": deployment, **prompts, **answers})

    def _write(self, channel: str, root: str, fields: dict[str, str]) -> None:
        key = _key(channel, root)
        with self._redis.pipeline() as together:
            together.hset(key, mapping=fields)
            together.expire(key, int(THREADS_KEPT.total_seconds()))
            together.execute()


def _key(channel: str, root: str) -> str:
    return f"mixtral:thread:{channel}:{root}"
