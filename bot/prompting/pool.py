"""The threads that answer questions, and the watch that resumes unanswered ones."""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
from msgspec import MsgspecError
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import RedisError

from bot.language.question import Asked, Question, QuestionKey
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.engine import engine_client
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.question_flow import AskableDeployments, QuestionFlow
from bot.prompting.routing import HasToWait, availability
from bot.prompting.store import Questions, Threads
from bot.prompting.writing import Stopping
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from workers.api import Deployments
from workers.deployment.events import DeploymentId
from workers.lease import Lease

_LOG = logging.getLogger(__name__)

AT_ONCE = 64
"""Maximum number of questions that are answered at the same time."""
LEASE = timedelta(seconds=10)
"""Time after which another process takes over a question whose process died."""
WATCH_EVERY = timedelta(seconds=2)
HEED_EVERY = timedelta(seconds=0.2)
"""Interval at which this process reads which of its answers were stopped or deleted through another process."""
MAX_TRIES = 10
"""Maximum number of tries: a question may be the cause of a crash."""

GIVES_UP = timedelta(minutes=10)
"""Time for which Slack may fail before a question is given up."""
FORGETS = timedelta(hours=1)
"""Time for which Slack may fail before a question is removed without a message."""
MIN_PAUSE = timedelta(seconds=1)
MAX_PAUSE = timedelta(minutes=1)

_SLACK_AWAY = "Slack accepted no message from the bot for 10 minutes, so this question was given up. Ask it again."
_GIVEN_UP = "This question was started several times without an answer, so it was given up. Ask it again."


class AnswerPool:
    """Answers questions in its own threads. One per process."""

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
        self._deployments, self._redis, self._lease, self._watch_every = deployments, redis, lease, watch_every
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
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="answer")
        self._lock = threading.Lock()
        self._running: set[QuestionKey] = set()
        self._watches: list[threading.Thread] = []

    def ask(self, question: Question) -> bool:
        """Store a question and return; it is answered in its thread. False if it was stored before: it has no effect.

        An edited one replaces the question that its message asked before, if that has no complete answer. Raises
        RedisError if it could not be stored; it must not be acknowledged then.
        """
        is_new = self._quick_questions.add(question)
        if is_new:
            self._submit(question.key)
        self._replace_earlier(question)  # also if it was stored before: Redis may have failed after that
        return is_new

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
        self._answering.withdrawals.heed(self._quick_questions.withdrawn)
        for key in keys:
            self._submit(key)  # a question that waits has no thread that would notice

    def ready(self, deployment: DeploymentId) -> None:
        """Resume the questions that wait for a deployment, which has become ready or has ended."""
        for asked in self._questions.all():
            if asked.deployment == deployment:
                self._submit(asked.question.key)

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
        self._pool.shutdown(cancel_futures=True)
        for watch in self._watches:
            watch.join()
        self._answering.close()
        self._http.close()

    def _submit(self, key: QuestionKey) -> None:
        with self._lock:
            if key in self._running or self._stopping.is_set():
                return
            self._running.add(key)
        self._pool.submit(self._run, key)

    def _run(self, key: QuestionKey) -> None:
        try:
            with Lease(self._redis, f"question:{key}", self._lease).held() as held:
                if held:
                    self._attempt(key)
        except Stopping:
            pass
        except RedisError as failed:
            _LOG.warning("The question %s is tried again later: %s", key, failed)
        finally:
            with self._lock:
                self._running.discard(key)

    def _attempt(self, key: QuestionKey) -> None:
        try:
            self._answer(key)
        except SlackFailed as failed:
            self._try_later(key, failed)
        else:
            asked = self._questions.get(key)
            if asked is not None and asked.failing_since is not None:
                self._questions.put(replace(asked, failing_since=None, not_before=None))

    def _try_later(self, key: QuestionKey, failed: SlackFailed) -> None:
        asked, now = self._questions.get(key), datetime.now(UTC)
        if asked is None:
            return
        since = asked.failing_since or now
        if now - since > FORGETS:
            _LOG.error("The question %s is removed without an answer: %s", key, failed)
            self._questions.remove(key)  # Slack itself ends a session after an hour
            return
        pause = min(max(now - since, MIN_PAUSE), MAX_PAUSE)
        _LOG.warning("The question %s is tried again in %.0f s: %s", key, pause.total_seconds(), failed)
        self._questions.put(replace(asked, failing_since=since, not_before=now + pause))

    def _answer(self, key: QuestionKey) -> None:
        asked = self._questions.get(key)
        try:
            if asked is not None and asked.tries >= MAX_TRIES:
                self._answering.explain(key, _GIVEN_UP)
            elif asked is not None and _fails_too_long(asked):
                self._answering.explain(key, _SLACK_AWAY)
            else:
                self._answering.run(key)
        except SlackRefused as refused:
            # The channel or the thread does not exist, or the bot has no access to it.
            _LOG.warning("The question %s cannot be answered: %s", key, refused)
            self._apologise(key, f"The answer could not be posted where you asked. {refused}")
        except (Stopping, RedisError, SlackFailed):
            raise
        except Exception:  # noqa: BLE001 - every error is reported to the person
            incident = secrets.token_hex(4)
            _LOG.exception("incident %s: the question %s", incident, key)
            self._apologise(
                key,
                f"The bot failed with an internal error, and your question was not answered (incident {incident}). "
                "Ask again; if it fails again, give this number to the people who run the bot.",
            )

    def _apologise(self, key: QuestionKey, sentence: str) -> None:
        try:
            self._answering.explain(key, sentence)
        except SlackRefused as refused:
            _LOG.warning("No message about the question %s can be delivered: %s", key, refused)
            self._answering.endings.give_up(key)

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
        for asked in stored:
            if self._is_due(asked, is_over=asked.over or asked.question.key in withdrawn):
                self._submit(asked.question.key)

    def _heed_withdrawals(self) -> None:
        self._answering.withdrawals.heed(self._questions.withdrawn)

    def _is_due(self, asked: Asked, *, is_over: bool) -> bool:
        if asked.not_before is not None and datetime.now(UTC) < asked.not_before:
            return False
        if is_over or asked.deployment is None or asked.notice is None or asked.question.key in self._running:
            return True
        try:
            deployment = self._deployments.by_id(asked.deployment)
        except MsgspecError:
            return True  # so that the question is answered with the error
        state = availability(deployment) if deployment is not None else None
        return (
            not isinstance(state, HasToWait) or state.wake is not None
        )  # repeat the request that wakes the deployment, which may have been lost


def _fails_too_long(asked: Asked) -> bool:
    return asked.failing_since is not None and datetime.now(UTC) - asked.failing_since > GIVES_UP
