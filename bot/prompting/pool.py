"""The pool in which questions are answered, and the watch that no question is forgotten."""

import logging
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
from msgspec import MsgspecError
from msgspec.structs import replace
from redis import Redis
from redis.exceptions import RedisError

from bot.language.question import Asked, Question, QuestionKey
from bot.prompting.question_flow import QuestionFlow
from bot.prompting.routing import Waits, standing
from bot.prompting.store import Questions, Threads
from bot.prompting.writing import Stopping
from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackFailed, SlackRefused
from workers.api import Deployments
from workers.deployment.events import DeploymentId
from workers.lease import Lease

_LOG = logging.getLogger(__name__)

AT_ONCE = 64
LEASE = timedelta(seconds=10)
"""After so long another process goes on with the question of one that died."""
WATCH_EVERY = timedelta(seconds=2)
TRIES_MOST = 10
"""A question on which so many processes died may be what kills them."""

GIVES_UP = timedelta(minutes=10)
"""A question of which Slack takes nothing for so long is given up."""
FORGETS = timedelta(hours=1)
"""Then even the sentence about that is."""
AGAIN_SOONEST = timedelta(seconds=1)
AGAIN_LATEST = timedelta(minutes=1)

_SLACK_AWAY = "Slack took nothing from me for ten minutes, so this question is given up. Ask it again."
_GIVEN_UP = "This question was begun several times and never came to an answer, so it is given up. Ask it again."


class AnswerPool:
    """Answers questions in threads of its own. One for a process."""

    def __init__(
        self,
        deployments: Deployments,
        slack: SlackCalls,
        redis: Redis,
        *,
        http: httpx.Client | None = None,
        quick: Redis | None = None,
        at_once: int = AT_ONCE,
        lease: timedelta = LEASE,
        watch_every: timedelta = WATCH_EVERY,
        gateway: str | None = None,
    ) -> None:
        """`slack`: `close` sets its `stopping`. `gateway`: as in `QuestionFlow`.

        `quick`: a Redis that gives up in time for an ack; questions are taken in through it.
        """
        limits = httpx.Limits(max_connections=at_once * 2, max_keepalive_connections=at_once)
        self._deployments, self._redis, self._lease, self._watch_every = deployments, redis, lease, watch_every
        self._questions, self._threads = Questions(redis), Threads(redis)
        self._taken, self._told = Questions(quick or redis), Threads(quick or redis)
        self._stopping = slack.stopping
        self._http = http or httpx.Client(limits=limits)
        self._answering = QuestionFlow(
            deployments=deployments,
            slack=slack,
            http=self._http,
            questions=self._questions,
            threads=self._threads,
            gateway=gateway,
        )
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="answer")
        self._lock = threading.Lock()
        self._running: set[QuestionKey] = set()
        self._watch: threading.Thread | None = None

    def ask(self, question: Question) -> None:
        """Store a question and return; it is answered in its thread. Told again, it is answered once.

        Raises RedisError when it could not be stored: then it must not be acknowledged.
        """
        if self._taken.add(question):
            self._submit(question.key)

    def ready(self, deployment: DeploymentId) -> None:
        """A deployment has become ready, or has ended: go on with the questions that wait for it."""
        for asked in self._questions.all():
            if asked.deployment == deployment:
                self._submit(asked.question.key)

    def resume(self) -> None:
        """Go on with what is unanswered, now and from now on: also what other processes leave behind."""
        if self._watch is None:
            self._watch = threading.Thread(target=self._watch_until_stopped, name="questions", daemon=True)
            self._watch.start()

    def answered_in(self, channel: str, thread_ts: str) -> bool:
        """Whether the bot has answered in a thread: then a message there needs no mention."""
        return self._told.knows(channel, thread_ts)

    def close(self) -> None:
        """Stop. Answers that are being written stay unfinished, and are finished by the next process."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        if self._watch is not None:
            self._watch.join()
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
            _LOG.warning("The question %s waits for another try: %s", key, failed)
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
            _LOG.error("The question %s is forgotten, for nobody can be told about it: %s", key, failed)
            self._questions.remove(key)
            return
        pause = min(max(now - since, AGAIN_SOONEST), AGAIN_LATEST)
        _LOG.warning("The question %s is tried again in %.0f s: %s", key, pause.total_seconds(), failed)
        self._questions.put(replace(asked, failing_since=since, not_before=now + pause))

    def _answer(self, key: QuestionKey) -> None:
        asked = self._questions.get(key)
        try:
            if asked is not None and asked.tries >= TRIES_MOST:
                self._answering.explain(key, _GIVEN_UP)
            elif asked is not None and _fails_too_long(asked):
                self._answering.explain(key, _SLACK_AWAY)
            else:
                self._answering.run(key)
        except SlackRefused as refused:
            # The channel or the thread is gone, or closed to us: there is nowhere to answer.
            _LOG.warning("The question %s cannot be answered: %s", key, refused)
            self._apologise(key, f"The answer could not be written where you asked. {refused}")
        except (Stopping, RedisError, SlackFailed):
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the person must hear of it
            incident = secrets.token_hex(4)
            _LOG.exception("incident %s: the question %s", incident, key)
            self._apologise(
                key,
                f"Something went wrong on our side, and your question was not answered (incident {incident}). "
                "Ask again; if it stays so, show this number to whoever runs this bot.",
            )

    def _apologise(self, key: QuestionKey, sentence: str) -> None:
        try:
            self._answering.explain(key, sentence)
        except SlackRefused as refused:
            _LOG.warning("Nobody can be told about the question %s: %s", key, refused)
            self._questions.remove(key)

    def _watch_until_stopped(self) -> None:
        while True:
            try:
                for asked in self._questions.all():
                    if self._is_due(asked):
                        self._submit(asked.question.key)
            except RedisError as error:
                _LOG.warning("Redis does not tell which questions wait: %s", error)
            except Exception:  # noqa: BLE001 - a watch that ends is one that nobody misses until it is needed
                _LOG.exception("The watch over unanswered questions failed, and goes on.")
            if self._stopping.wait(self._watch_every.total_seconds()):
                return

    def _is_due(self, asked: Asked) -> bool:
        if asked.not_before is not None and datetime.now(UTC) < asked.not_before:
            return False
        if asked.deployment is None or asked.notice is None or asked.question.key in self._running:
            return True
        try:
            deployment = self._deployments.by_id(asked.deployment)
        except MsgspecError:
            return True  # whoever asked is told that its log cannot be read
        state = standing(deployment) if deployment is not None else None
        return not isinstance(state, Waits) or state.wake is not None  # a knock may have been lost


def _fails_too_long(asked: Asked) -> bool:
    return asked.failing_since is not None and datetime.now(UTC) - asked.failing_since > GIVES_UP
