"""A question to what sleeps is seen by its gateway, and goes on waiting."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from bot.commands.sight import Askable, Sight
from bot.language.question import Asked, Question
from bot.prompting.channel_store import ChannelStore
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.question_flow import QuestionFlow
from bot.prompting.store import Questions, Threads
from tests.builders.logs import Logs
from tests.builders.recipes import scaled_by
from tests.fakes.office import Directory
from tests.fakes.slack_thread import SlackThread
from workers.api import Deployments

URL = "http://127.0.0.1:1"


class Endless(httpx.SyncByteStream):
    """A body without an end."""

    def __init__(self):
        self.pieces = 0

    def __iter__(self):
        while True:
            self.pieces += 1
            yield b"x" * 1000


class Gateway:
    """Holds what comes, as one does that has no replica yet; or answers with a body."""

    def __init__(self):
        self.seen, self.body = [], None
        self.client = httpx.Client(transport=httpx.MockTransport(self._hold))

    def _hold(self, request):
        self.seen.append((str(request.url), request.headers["authorization"]))
        if self.body is not None:
            return httpx.Response(200, stream=self.body)
        raise httpx.ReadTimeout("held", request=request)


@pytest.fixture
def gateway():
    it = Gateway()
    yield it
    it.client.close()


def asked_of(redis, gateway, recipe):
    """A question to a deployment that has no replica, run once."""
    logs = Logs(redis)
    id_ = logs.put("fast", URL, recipe=recipe)
    requests: Any = Deployments(redis, print, {})
    logs.append(logs.story(id_).scaled(0))
    state = requests.by_id(id_)
    gone = replace(state, attempts=())
    requests.by_id = lambda _: gone
    questions = Questions(redis)
    question = Question(id="E1", team="T1", channel="C0HERE", user="U1", text="Hello", message_ts="5.0")
    questions.add(question)
    questions.put(
        Asked(question=question, asked_at=datetime.now(UTC), deployment=id_, prompt="Hello", thread="5.0", notice="6.0")
    )
    slack: Any = SlackThread()
    answering = QuestionFlow(
        deployments=requests,
        slack=slack,
        http=gateway.client,
        questions=questions,
        threads=Threads(redis),
        given=GivenAnswers(redis),
        askable=Askable(requests, Sight(Directory(), ())),
        settings=ChannelStore(redis),
        drafts=Drafts(redis),
    )
    assert list(answering.run(question.key)) == []
    assert questions.get(question.key) is not None
    return requests.own_key(id_)


def test_a_question_wakes_what_sleeps_with_the_bots_own_key_and_waits(redis, gateway):
    key = asked_of(redis, gateway, scaled_by(min_replicas=0))
    assert gateway.seen == [(f"{URL}/v1/models", f"Bearer {key}")]


def test_what_the_gateway_answers_to_that_is_not_read(redis, gateway):
    gateway.body = Endless()
    asked_of(redis, gateway, scaled_by(min_replicas=0))
    assert len(gateway.seen) == 1
    assert gateway.body.pieces == 1


def test_what_a_person_scaled_to_nothing_is_left_alone(redis, gateway):
    asked_of(redis, gateway, scaled_by(min_replicas=1))
    assert gateway.seen == []
