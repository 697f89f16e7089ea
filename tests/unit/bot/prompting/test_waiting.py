"""Questions that wait for a deployment: for how long, how many of one person, and what looking at them reads."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from bot.commands.sight import Askable, Sight
from bot.language.question import Asked, Question, QuestionKey
from bot.prompting.pool import AnswerPool
from bot.prompting.question_tries import MAX_PAUSE
from bot.prompting.store import Questions
from bot.prompting.waiting import MAX_WAITING, WAITS_FOR
from bot.slack.failures import SlackAway
from tests.builders.logs import Logs
from tests.builders.recipes import scaled_by
from tests.fakes.office import Directory
from workers.api import Deployments


class Threads:
    """What the bot posts, by ts, and what it shows to one person."""

    def __init__(self):
        self.messages, self.whispers = {}, []
        self.fails, self.refused = False, []
        self.files, self.stopping = None, threading.Event()

    def has(self, method, channel=""):
        return True

    def post(self, channel, message, *, thread=None, metadata=None, text_alone=True):
        self._check(f"{channel} {thread}")
        ts = f"{len(self.messages) + 5000}.0"
        self.messages[ts] = message.text
        return ts

    def whisper(self, channel, user, message, *, thread=None):
        self._check(user)
        self.whispers.append((user, message.text))

    def _check(self, whom):
        if self.fails:
            self.refused.append(whom)
            raise SlackAway("no answer")

    def page(self, channel, *, thread=None, since=None, cursor=None, limit=0):
        return [], None

    def delete(self, channel, ts):
        del self.messages[ts]


class Counting(Deployments):
    """Counts the reads of each deployment's log."""

    reads: Counter[str]

    def by_id(self, deployment):
        self.reads[deployment] += 1
        return super().by_id(deployment)


class Watched(AnswerPool):
    """Collects what the watch resumes, instead of answering it."""

    resumed: list[QuestionKey]

    def _submit(self, asked):
        self.resumed.append(asked.question.key)


class Place:
    """A pool without threads of its own: `run` takes a question's steps, `due` what the watch resumes."""

    def __init__(self, redis):
        self.logs, self.slack, self.requests = Logs(redis), Threads(), Counting(redis, print, {})
        self.requests.reads = Counter()
        self.questions, self.seen = Questions(redis), []
        self.http = httpx.Client(transport=httpx.MockTransport(self._gateway))
        slack: Any = self.slack
        self.pool = Watched(
            self.requests, slack, redis, askable=Askable(self.requests, Sight(Directory(), ())), http=self.http
        )

    def _gateway(self, request):
        self.seen.append(str(request.url))
        raise httpx.ReadTimeout("held", request=request)

    def asks(self, number, *, user="U1", **more):
        """Store a question; it is asked `number` seconds after the first one."""
        ts = f"{1000 + number}.0"
        question = Question(id=ts, team="T1", channel="C0HERE", user=user, text="Hello", message_ts=ts)
        assert self.questions.add(question)
        asked = Asked(question=question, asked_at=datetime.now(UTC) + timedelta(seconds=number - 200))
        self.questions.put(replace(asked, **more))
        return question.key

    def run(self, *keys):
        for key in keys:
            for _ in self.pool._tries.steps(key):
                pass

    def due(self):
        """Take one look of the watch, and return the questions that it resumes."""
        self.pool.resumed = []
        self.pool._resume_unanswered()
        return self.pool.resumed


@pytest.fixture
def place(redis, monkeypatch):
    monkeypatch.setattr("bot.slack.slack_steps.WHILE_AWAY", timedelta())  # a try ends at its first failure
    it = Place(redis)
    yield it
    it.pool.close()


def test_a_question_waits_no_longer_than_a_week_and_its_person_is_told(place):
    place.logs.start("fast")
    key = place.asks(0)
    place.run(key)
    asked = place.questions.get(key)
    (notice,) = place.slack.messages.values()
    assert "waits" in notice
    place.questions.put(replace(asked, asked_at=datetime.now(UTC) - WAITS_FOR + timedelta(hours=1)))
    assert place.due() == []
    place.questions.put(replace(asked, asked_at=datetime.now(UTC) - timedelta(days=8)))
    assert place.due() == [key]
    place.run(key)
    (said,) = place.slack.messages.values()
    assert said.startswith("<@U1>")
    assert "7 days" in said
    assert "/mixtral status" in said
    assert place.questions.all() == []


def test_a_question_that_is_over_does_not_wake_a_deployment(place):
    id_ = place.logs.put("fast", "http://127.0.0.1:1", recipe=scaled_by(min_replicas=0))
    place.logs.append(place.logs.story(id_).scaled(0))
    gone = replace(place.requests.by_id(id_), attempts=())
    place.requests.by_id = lambda _: gone
    new, old = (place.asks(number, deployment=id_, prompt="Hello", thread=f"{1000 + number}.0") for number in (1, 2))
    place.questions.put(replace(place.questions.get(old), asked_at=datetime.now(UTC) - timedelta(days=8)))
    place.run(new)
    assert len(place.seen) == 1
    place.run(old)
    assert len(place.seen) == 1
    assert [asked.question.key for asked in place.questions.all()] == [new]


def test_one_more_question_than_may_wait_is_explained_to_its_person_and_not_kept(place):
    place.logs.start("fast")
    waiting = [place.asks(number) for number in range(MAX_WAITING)]
    place.run(*waiting)
    another, others = place.asks(100), place.asks(101, user="U2")
    place.run(another, others)
    assert [asked.question.key for asked in place.questions.all()] == [*waiting, others]
    ((who, said),) = place.slack.whispers
    assert who == "U1"
    assert f"{MAX_WAITING} of your questions" in said
    assert "fast" in said
    place.run(*waiting)
    assert len(place.questions.all()) == MAX_WAITING + 1


def test_no_more_questions_wait_in_whatever_order_they_are_taken(place):
    place.logs.start("fast")
    keys = [place.asks(number) for number in range(MAX_WAITING + 5)]
    place.run(*reversed(keys))
    place.run(*keys)
    assert len(place.questions.all()) == MAX_WAITING
    assert len(place.slack.whispers) == 5


def test_of_questions_that_are_taken_at_once_the_first_ones_wait(place):
    id_ = place.logs.start("fast")
    keys = [place.asks(number, deployment=id_, prompt="Hello") for number in range(MAX_WAITING + 5)]
    place.run(*reversed(keys))  # each is routed, and no notice is posted yet
    assert [asked.question.key for asked in place.questions.all()] == keys[:MAX_WAITING]


def test_a_question_to_a_deployment_that_answers_is_asked_however_many_wait_for_another(place):
    place.logs.start("fast")
    place.run(*(place.asks(number) for number in range(MAX_WAITING)))
    other = place.logs.start("other")
    key = place.asks(100, deployment=other, prompt="Hello")
    place.run(key)
    assert place.slack.whispers == []
    assert place.questions.get(key).notice


def test_a_look_at_many_questions_that_wait_reads_each_log_once(place):
    one, other = place.logs.start("fast"), place.logs.start("other")
    for number in range(200):
        of = (one, other)[number % 2]
        place.asks(number, deployment=of, prompt="Hello", thread=f"{1000 + number}.0", notice="6.0")
    place.requests.reads.clear()
    assert place.due() == []
    assert place.requests.reads == {one: 1, other: 1}


def test_a_question_is_tried_again_although_the_clock_steps_back(place):
    now = datetime.now(UTC)
    soon = place.asks(0, not_before=now + MAX_PAUSE - timedelta(seconds=1))
    stepped = place.asks(1, not_before=now + timedelta(hours=2))
    assert place.due() == [stepped]
    assert place.questions.get(soon)


def failing(place, number, *, since, failures):
    """The keys of the questions that are left after one more failure of Slack."""
    key = place.asks(number, deployment=place.logs.start(f"d{number}"), prompt="Hello", failing_since=since)
    place.questions.put(replace(place.questions.get(key), failures=failures))
    place.slack.fails = True
    place.run(key)
    return place.questions.get(key)


def test_one_failure_of_slack_ends_no_question_however_far_the_clock_steps(place):
    now = datetime.now(UTC)
    for number, step in enumerate((timedelta(minutes=30), timedelta(days=1), -timedelta(hours=2))):
        asked = failing(place, number, since=now - step, failures=1)
        assert asked.failures == 2
        assert datetime.now(UTC) - asked.failing_since >= timedelta()
        assert asked.not_before - datetime.now(UTC) <= MAX_PAUSE
        assert place.slack.refused == [f"C0HERE {1000 + number}.0"], "the question itself is tried"
        place.slack.refused.clear()


def test_a_question_is_given_up_and_later_removed_when_slack_has_failed_as_long_as_it_seems(place):
    now = datetime.now(UTC)
    assert failing(place, 0, since=now - timedelta(minutes=30), failures=20)
    assert place.slack.refused == ["U1"], "that it was given up is tried"
    assert failing(place, 1, since=now - timedelta(hours=2), failures=120) is None
