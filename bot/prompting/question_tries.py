"""One attempt to answer a question: under its lease, within its number of tries, with every error told to people."""

import logging
import secrets
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace
from redis.exceptions import RedisError

from bot.language.question import Asked, QuestionKey
from bot.prompting.question_flow import QuestionFlow
from bot.prompting.store import Questions
from bot.prompting.writing import Stopping
from bot.slack.failures import SlackFailed, SlackRefused
from bot.slack.slack_steps import WHILE_AWAY, Steps
from workers.lease import Leases

_LOG = logging.getLogger(__name__)

MAX_TRIES = 10
"""Maximum number of tries: a question may be the cause of a crash."""

GIVES_UP = timedelta(minutes=10)
"""Time for which Slack may fail before a question is given up."""
FORGETS = timedelta(hours=1)
"""Time for which Slack may fail before a question is removed without a message."""
MIN_PAUSE = timedelta(seconds=1)
MAX_PAUSE = timedelta(minutes=1)
LONGEST_TRY = WHILE_AWAY + MAX_PAUSE
"""Maximum time from one failed try to the next while Slack cannot be reached."""

_SLACK_AWAY = "Slack accepted no message from the bot for 10 minutes, so this question was given up. Ask it again."
_GIVEN_UP = "This question was started several times without an answer, so it was given up. Ask it again."


class QuestionTries:
    """Safe to use from several threads, if each has a different question."""

    def __init__(self, answering: QuestionFlow, questions: Questions, leases: Leases) -> None:
        self._answering, self._questions, self._leases = answering, questions, leases

    def steps(self, key: QuestionKey) -> Steps[None]:
        """Answer a question, unless another process does. A failure is logged; the pool's watch tries again."""
        try:
            with self._leases.held(f"question:{key}") as held:
                if held:
                    yield from self._attempt(key)
        except Stopping:
            pass
        except RedisError as failed:
            _LOG.warning("The question %s is tried again later: %s", key, failed)

    def _attempt(self, key: QuestionKey) -> Steps[None]:
        try:
            yield from self._answer(key)
        except SlackFailed as failed:
            self._try_later(key, failed)
        else:
            asked = self._questions.get(key)
            if asked is not None and asked.failing_since is not None:
                self._questions.put(replace(asked, failing_since=None, failures=0, not_before=None))

    def _try_later(self, key: QuestionKey, failed: SlackFailed) -> None:
        asked, now = self._questions.get(key), datetime.now(UTC)
        if asked is None:
            return
        since, failures = min(asked.failing_since or now, now), asked.failures + 1
        failing_for = _failing_for(since, failures, now)
        if failing_for > FORGETS:
            _LOG.error("The question %s is removed without an answer: %s", key, failed)
            self._questions.remove(key)  # Slack itself ends a session after an hour
            return
        pause = min(max(failing_for, MIN_PAUSE), MAX_PAUSE)
        _LOG.warning("The question %s is tried again in %.0f s: %s", key, pause.total_seconds(), failed)
        self._questions.put(replace(asked, failing_since=since, failures=failures, not_before=now + pause))

    def _answer(self, key: QuestionKey) -> Steps[None]:
        asked = self._questions.get(key)
        try:
            if asked is not None and asked.tries >= MAX_TRIES:
                yield from self._answering.explain(key, _GIVEN_UP)
            elif asked is not None and _fails_too_long(asked):
                yield from self._answering.explain(key, _SLACK_AWAY)
            else:
                yield from self._answering.run(key)
        except SlackRefused as refused:
            # The channel or the thread does not exist, or the bot has no access to it.
            _LOG.warning("The question %s cannot be answered: %s", key, refused)
            yield from self._apologise(key, f"The answer could not be posted where you asked. {refused}")
        except (Stopping, RedisError, SlackFailed):
            raise
        except Exception:  # noqa: BLE001 - every error is reported to the person
            incident = secrets.token_hex(4)
            _LOG.exception("incident %s: the question %s", incident, key)
            yield from self._apologise(
                key,
                f"The bot failed with an internal error, and your question was not answered (incident {incident}). "
                "Ask again; if it fails again, give this number to the people who run the bot.",
            )

    def _apologise(self, key: QuestionKey, sentence: str) -> Steps[None]:
        try:
            yield from self._answering.explain(key, sentence)
        except SlackRefused as refused:
            _LOG.warning("No message about the question %s can be delivered: %s", key, refused)
            yield from self._answering.endings.give_up(key)


def is_pausing(asked: Asked) -> bool:
    """Whether a question is not to be tried yet. A pause that is longer than any was set before the clock went back."""
    return asked.not_before is not None and timedelta() < asked.not_before - datetime.now(UTC) <= MAX_PAUSE


def _fails_too_long(asked: Asked) -> bool:
    since = asked.failing_since
    return since is not None and _failing_for(since, asked.failures, datetime.now(UTC)) > GIVES_UP


def _failing_for(since: datetime, failures: int, now: datetime) -> timedelta:
    """How long Slack has failed: no longer than so many tries take, also if the clock has stepped."""
    return min(now - since, failures * LONGEST_TRY)
