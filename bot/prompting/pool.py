"""The pool that answers questions, and the watch that resumes unanswered ones."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
from msgspec import MsgspecError
from redis import Redis
from redis.exceptions import RedisError

from bot.language.question import Asked, Question, QuestionKey
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.engine import engine_client
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.question_flow import AskableDeployments, QuestionFlow
from bot.prompting.question_tries import QuestionTries, is_pausing
from bot.prompting.routing import HasToWait, availability
from bot.prompting.store import Questions, Threads
from bot.prompting.waiting import has_waited_too_long
from bot.slack.calls import SlackCalls
from bot.slack.fair_pool import FairPool
from workers.api import Deployments
from workers.deployment.events import DeploymentId
from workers.lease import Leases

_LOG = logging.getLogger(__name__)

AT_ONCE = 64
"""Maximum number of questions that are answered at the same time."""
LEASE = timedelta(seconds=10)
"""Time after which another process takes over a question whose process died."""
WATCH_EVERY = timedelta(seconds=2)
HEED_EVERY = timedelta(seconds=0.2)
"""Interval at which this process reads which of its answers were stopped or deleted through another process."""


class AnswerPool:
    """Answers questions in its own threads, which the channels share. One per process."""

    def __init__(
        self,
        deployments: Deployments,
        slack: SlackCalls,
        redis: Redis,
        *,
        askable: AskableDeployments,
        http: httpx.Client | None = None,
        quick: Redis | None = None,
        at_once: int = AT_ONCE,
        lease: timedelta = LEASE,
        watch_every: timedelta = WATCH_EVERY,
        gateway: str | None = None,
        streams_in_channels: bool = False,
    ) -> None:
        """`slack`: `close` sets its `stopping`. `gateway`, `streams_in_channels`: as in `QuestionFlow`.

        `quick`: a Redis client with timeouts shorter than an ack's, for `ask`.
        """
        self._deployments, self._watch_every = deployments, watch_every
        self._questions, self._threads = Questions(redis), Threads(redis)
        self._quick_questions = Questions(quick or redis)
        self._stopping = slack.stopping
        self._http = http or engine_client(at_once)
        self._answering = QuestionFlow(
            deployments=deployments,
            slack=slack,
            http=self._http,
            questions=self._questions,
            threads=self._threads,
            given=GivenAnswers(redis),
            askable=askable,
            settings=ChannelStore(redis),
            drafts=Drafts(redis),
            gateway=gateway,
            streams_in_channels=streams_in_channels,
        )
        self._leases = Leases(redis, lease)
        self._tries = QuestionTries(self._answering, self._questions, self._leases)
        self._pool = FairPool(at_once, "answer")
        self._watches: list[threading.Thread] = []

    def ask(self, question: Question) -> bool:
        """Store a question and return; it is answered in its thread. False if it was stored before: it has no effect.

        An edited one replaces the question that its message asked before, if that has no complete answer. Raises
        RedisError if it could not be stored; it must not be acknowledged then.
        """
        asked = self._quick_questions.add(question)
        if asked is not None:
            self._submit(asked)
        self._replace_earlier(question)  # also if it was stored before: Redis may have failed after that
        return asked is not None

    def claim(self, question: Question) -> bool:
        """Note that a message is taken care of elsewhere; False if it was before. Raises RedisError.

        Like an edited question, it replaces the question that its message asked before.
        """
        self._replace_earlier(question)
        return self._quick_questions.claim(question.key)

    def _replace_earlier(self, question: Question) -> None:
        if question.edited:
            self._withdraw(self._quick_questions.withdraw_earlier(question))

    def stop(self, channel: str, thread: str, pressed: str) -> None:
        """End the answers in a thread at once, also those of other processes. What has been shown stays.

        `pressed`: ts of the event. Slack may repeat it, and questions that were asked later are answered. Raises
        RedisError.
        """
        self._withdraw(self._quick_questions.withdraw_in_thread(channel, thread, pressed))

    def stop_one(self, channel: str, key: QuestionKey) -> bool:
        """End one answer; False if the question is not being answered in this channel. Raises RedisError."""
        is_answered = self._quick_questions.withdraw_one(channel, key)
        if is_answered:
            self._withdraw([key])
        return is_answered

    def deleted(self, channel: str, ts: str) -> None:
        """Do not answer a message that was deleted, and remove what was posted of its answer. Raises RedisError."""
        self._withdraw(self._quick_questions.withdraw_message(channel, ts))

    def _withdraw(self, keys: Sequence[QuestionKey]) -> None:
        self._heed(self._quick_questions)
        for key in keys:
            if (asked := self._quick_questions.get(key)) is not None:
                self._submit(asked)  # a question that waits for its deployment has no job that would notice

    def _heed(self, questions: Questions) -> None:
        self._pool.hasten(self._answering.withdrawals.heed(questions.withdrawn))

    def ready(self, deployment: DeploymentId) -> None:
        """Resume the questions that wait for a deployment, which has become ready or has ended."""
        for asked in self._questions.all():
            if asked.deployment == deployment:
                self._submit(asked)

    def resume(self) -> None:
        """Start the watches over what other processes store.

        One resumes unanswered questions, the other ends the answers whose questions are withdrawn.
        """
        if not self._watches:
            self._watches = [
                threading.Thread(target=self._repeat, args=about, name=name, daemon=True)
                for name, about in (
                    ("questions", (self._resume_unanswered, self._watch_every)),
                    ("withdrawals", (self._heed_withdrawals, HEED_EVERY)),
                )
            ]
            for watch in self._watches:
                watch.start()

    def close(self) -> None:
        """Stop. Unfinished answers are completed by the next process."""
        self._stopping.set()
        self._pool.close()
        self._leases.close()
        for watch in self._watches:
            watch.join()
        self._answering.close()
        self._http.close()

    def _submit(self, asked: Asked) -> None:
        key = asked.question.key
        ticket = asked.asked_at.timestamp(), key
        self._pool.submit(key, asked.question.channel, ticket, lambda: self._tries.steps(key))

    def _repeat(self, look: Callable[[], None], every: timedelta) -> None:
        while True:
            try:
                look()
            except RedisError as error:
                _LOG.warning("The questions cannot be read from Redis: %s", error)
            except Exception:  # noqa: BLE001 - without the watch no question is resumed, and none is stopped
                _LOG.exception("A watch over the questions failed, and continues.")
            if self._stopping.wait(every.total_seconds()):
                return

    def _resume_unanswered(self) -> None:
        stored = self._questions.all()
        withdrawn = self._questions.withdrawn([asked.question.key for asked in stored])
        sleeps = cache(self._sleeps)  # reads each log once, however many questions wait for its deployment
        for asked in stored:
            if self._is_due(asked, sleeps, is_over=asked.over or asked.question.key in withdrawn):
                self._submit(asked)

    def _heed_withdrawals(self) -> None:
        self._heed(self._questions)

    def _is_due(self, asked: Asked, sleeps: Callable[[DeploymentId], bool], *, is_over: bool) -> bool:
        """`sleeps`: whether a question has only to wait for a deployment."""
        if is_pausing(asked):
            return False
        if is_over or asked.deployment is None or asked.notice is None or self._pool.has(asked.question.key):
            return True
        return has_waited_too_long(asked, datetime.now(UTC)) or not sleeps(asked.deployment)

    def _sleeps(self, id_: DeploymentId) -> bool:
        """Whether a deployment cannot answer yet, and no request wakes it (a request may be lost, and is repeated)."""
        try:
            deployment = self._deployments.by_id(id_)
        except MsgspecError:
            return False  # so that the question is answered with the error
        state = availability(deployment) if deployment is not None else None
        return isinstance(state, HasToWait) and state.wake is None
