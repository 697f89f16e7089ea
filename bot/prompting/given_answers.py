"""The answers that were given, and their feedback, in Redis: what the buttons below an answer need."""

from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from redis import Redis

from bot.language.question import Question, QuestionKey
from workers.deployment.events import DeploymentId

KEPT = timedelta(days=7)
"""Time for which the buttons below an answer work."""
FEEDBACK_KEPT = timedelta(days=30)
"""Time after its last feedback for which a deployment's counts are kept."""

# The counts and the earlier feedback of a person change together, so that each person counts once for an answer.
_RATE = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before == ARGV[2] then return 0 end
if before then redis.call('HINCRBY', KEYS[2], before, -1) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""


class GivenAnswer(Struct, frozen=True, kw_only=True):
    """The question of an answer, without its text, and who answered. The text is read from the thread."""

    question: Question
    thread: str
    deployment: DeploymentId
    name: str
    """Of the deployment."""
    model: str = ""
    shown: str = ""
    """As in `Asked`."""


class Rated(Struct, frozen=True, kw_only=True):
    """How many answers people called good and bad."""

    good: int = 0
    bad: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(GivenAnswer).decode


class GivenAnswers:
    """Safe to use from several threads and processes. Methods raise RedisError."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._rate: Any = redis.register_script(_RATE)

    def keep(self, answer: GivenAnswer) -> None:
        question = answer.question
        about = replace(question.about, text="") if question.about else None
        kept = replace(answer, question=replace(question, text="", response_url=None, about=about))
        self._redis.set(_answer(question.key), _encode(kept), ex=int(KEPT.total_seconds()))

    def get(self, key: QuestionKey) -> GivenAnswer | None:
        """Return the answer to the question of this key; None if it is too old, or was never given."""
        stored = self._redis.get(_answer(key))
        return _decode(stored) if stored is not None else None

    def rate(self, answer: GivenAnswer, user: str, *, good: bool) -> bool:
        """Count a person's feedback on an answer; False if they gave the same before."""
        field = f"{'good' if good else 'bad'}:{answer.model}"
        keys = [f"mixtral:votes:{answer.question.key}", _feedback(answer.deployment)]
        return bool(self._rate(keys, [user, field, int(FEEDBACK_KEPT.total_seconds())]))

    def rated(self, deployment: DeploymentId) -> Rated:
        """Return the counts of a deployment, of all its models together."""
        found = self._redis.hgetall(_feedback(deployment))
        good = sum(int(count) for field, count in found.items() if field.startswith(b"good:"))
        return Rated(good=good, bad=sum(map(int, found.values())) - good)


def _answer(key: QuestionKey) -> str:
    return f"mixtral:answer:{key}"


def _feedback(deployment: DeploymentId) -> str:
    return f"mixtral:feedback:{deployment}"
