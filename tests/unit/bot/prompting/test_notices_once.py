"""Redis fails between the post of a notice and its record: the next try finds the notice, and posts no second one."""

import threading
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisAway

from bot.commands.sight import Askable, Sight
from bot.language.question import Asked, Question
from bot.prompting.channel_store import ChannelStore
from bot.prompting.conversation import ANSWER_EVENT
from bot.prompting.drafts import Drafts
from bot.prompting.given_answers import GivenAnswers
from bot.prompting.question_flow import QuestionFlow
from bot.prompting.resumption import metadata
from bot.prompting.store import Questions, Threads
from bot.slack.failures import SlackRefused
from bot.slack.message import Identity
from bot.views.answer import Below, buttons, growing, has_buttons
from tests.builders.logs import Logs
from tests.fakes.office import Directory
from workers.api import Deployments


class Thread:
    """One thread in Slack, with the metadata of its messages."""

    def __init__(self):
        self.messages = {}
        self.posts = 0
        self.files = None
        self.stopping = threading.Event()

    def has(self, method, channel=""):
        return True

    def post(self, channel, message, *, thread=None, metadata=None, text_alone=True):
        self.posts += 1
        ts = f"{self.posts + 5}.0"
        self.messages[ts] = {"ts": ts, "user": "U0BOT", "text": message.text, "metadata": metadata}
        return ts

    def page(self, channel, *, thread=None, since=None, cursor=None):
        return list(self.messages.values()), None

    def delete(self, channel, ts):
        if self.messages.pop(ts, None) is None:
            raise SlackRefused("message_not_found", known=True)

    def update(self, channel, ts, message, **more):
        if ts not in self.messages:
            raise SlackRefused("message_not_found", known=True)
        self.messages[ts] |= {"text": message.text, "blocks": message.blocks}

    def set_session(self, *_, **__):
        pass

    def identity(self):
        return Identity(user="U0BOT")


class Failing(Questions):
    """Fails once `slack` has more posts than this."""

    slack: Thread
    fails_after = 0
    """0: it does not fail."""

    def _check(self):
        if self.fails_after and self.slack.posts >= self.fails_after:
            raise RedisAway("Connection refused.")

    def put(self, asked):
        self._check()
        super().put(asked)

    def remove(self, key):
        self._check()
        super().remove(key)


@pytest.fixture
def place(redis, monkeypatch):
    with httpx.Client() as http:
        yield Place(redis, monkeypatch, http)


class Place:
    def __init__(self, redis, monkeypatch, http):
        monkeypatch.setattr("bot.prompting.notices.SETTLES", datetime.resolution)
        self.logs, self.slack = Logs(redis), Thread()
        self.id = self.logs.start("fast")
        self.questions = Failing(redis)
        self.questions.slack = self.slack
        self.question = Question(id="E1", team="T1", channel="C0HERE", user="U1", text="Hello", message_ts="5.0")
        self.questions.add(self.question)
        self.questions.put(
            Asked(question=self.question, asked_at=datetime.now(UTC), deployment=self.id, prompt="Hello", thread="5.0")
        )
        requests = Deployments(redis, print, {})
        slack: Any = self.slack
        self.flow = QuestionFlow(
            deployments=requests,
            slack=slack,
            http=http,
            questions=self.questions,
            threads=Threads(redis),
            given=GivenAnswers(redis),
            askable=Askable(requests, Sight(Directory(), ())),
            settings=ChannelStore(redis),
            drafts=Drafts(redis),
        )

    def ends(self):
        self.logs.append(self.logs.story(self.id).stopped().ended())

    def run(self):
        for _ in self.flow.run(self.question.key):
            pass

    def fails(self):
        """Redis fails after the next post."""
        self.questions.fails_after = self.slack.posts + 1
        with pytest.raises(RedisAway):
            self.run()
        self.questions.fails_after = 0

    def answered(self, *blocks):
        """Redis failed before the first message of an answer was recorded."""
        mark = metadata(ANSWER_EVENT, self.question.key)
        mark = {"event_type": mark["event_type"], "event_payload": mark["event_payload"]}
        self.slack.messages["6.0"] = {
            "ts": "6.0",
            "user": "U0BOT",
            "text": "Mustard",
            "metadata": mark,
            "blocks": blocks,
        }
        self.slack.posts += 1
        asked = self.questions.get(self.question.key)
        self.questions.put(replace(asked, starting=datetime.fromtimestamp(5.5, UTC), tries=1))

    def said(self):
        return [message["text"] for message in self.slack.messages.values()]


def test_the_notice_that_a_question_waits_is_posted_once(place):
    place.fails()
    place.run()
    assert len(place.said()) == 1
    assert place.questions.get(place.question.key).notice == "6.0"


def test_the_reason_why_there_is_no_answer_is_posted_once(place):
    place.ends()
    place.fails()
    place.run()
    assert len(place.said()) == 1
    assert place.questions.get(place.question.key) is None


def test_a_notice_that_was_not_recorded_is_withdrawn_when_the_deployment_has_ended(place):
    place.fails()
    place.ends()
    place.run()
    (only,) = place.said()
    assert only.startswith("<@U1>")


def test_a_notice_is_withdrawn_although_redis_failed_at_the_reason(place):
    place.run()
    place.ends()
    place.fails()
    place.run()
    (only,) = place.said()
    assert only.startswith("<@U1>")


def test_after_a_post_that_was_never_made_the_notice_is_posted(place):
    post, place.slack.post = place.slack.post, lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        place.run()
    place.slack.post = post
    place.run()
    assert len(place.said()) == 1


def test_an_answer_that_was_not_recorded_tells_why_its_rest_does_not_come(place):
    place.answered(*growing(place.question.key))
    place.ends()
    place.run()
    (part,) = place.slack.messages.values()
    assert part["text"] == "Mustard"
    assert not has_buttons(part["blocks"])
    assert "has ended" in str(part["blocks"])
    assert place.questions.get(place.question.key) is None


def test_an_answer_that_is_finished_and_was_not_recorded_is_the_answer(place):
    place.answered(*Below(buttons=buttons(place.question.key, ())).shapes(1000)[0])
    place.ends()
    place.run()
    assert place.said() == ["Mustard"]
    assert has_buttons(place.slack.messages["6.0"]["blocks"])
    assert place.questions.get(place.question.key) is None
