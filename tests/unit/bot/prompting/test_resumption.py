"""After a crash a question takes back the messages that are its own, and no others."""

from datetime import UTC, datetime, timedelta

import pytest

from bot.language.question import Asked, Question
from bot.prompting.conversation import ANSWER_EVENT, Remembered
from bot.prompting.resumption import metadata, orphans
from bot.slack.message import Identity

NOW = datetime.fromtimestamp(2.5, UTC)
US = Identity(user="UBOT", bot="BBOT")


def asked(ts, *, thread="1.0", starting=None, begun=()):
    question = Question(id=f"E{ts}", team="T1", channel="C1", user="U1", text="?", message_ts=ts, thread_ts=thread)
    return Asked(question=question, asked_at=NOW, thread=thread, starting=starting, begun=begun, tries=1)


def said(ts, key=None):
    mark = {"metadata": metadata(ANSWER_EVENT, key)} if key else {}
    return {"ts": ts, "user": "UBOT", "text": "Must", **mark}


FIRST, SECOND = asked("1.0", starting=NOW), asked("2.0")
THREAD = [{"ts": "1.0", "user": "U1"}, {"ts": "2.0", "user": "U1"}, said("3.0")]


def found(question, *others, thread=THREAD, known=None):
    return orphans(thread, question, [question, *others], US, known or Remembered())


def test_a_stream_that_nobody_wrote_down_is_the_one_that_was_being_started():
    assert found(FIRST, SECOND) == ("3.0",)


def test_a_question_that_was_starting_nothing_takes_nothing():
    assert found(SECOND) == ()


def test_while_two_are_starting_neither_takes_what_may_be_the_others():
    assert found(FIRST, asked("2.0", starting=NOW)) == ()


def test_one_that_starts_in_another_thread_is_no_reason_to_hold_back():
    assert found(FIRST, asked("2.0", thread="9.0", starting=NOW)) == ("3.0",)


def test_what_is_marked_is_found_in_any_case():
    thread = [*THREAD[:2], said("3.0", FIRST.question.key), said("4.0", SECOND.question.key)]
    assert found(FIRST, asked("2.0", starting=NOW), thread=thread) == ("3.0",)


@pytest.mark.parametrize(
    ("others", "known"),
    [([asked("2.0", begun=("3.0",))], None), ([], Remembered(answers={"3.0": "Mustard"}))],
)
def test_what_another_question_is_known_to_have_written_is_left_to_it(others, known):
    assert found(FIRST, *others, known=known) == ()


def test_an_older_message_is_not_the_stream_that_is_being_started_though_it_follows_the_question():
    again = asked("1.0", starting=NOW + timedelta(days=1))
    thread = [*THREAD, said("86403.0")]
    assert found(again, thread=thread) == ("86403.0",), "an answer that was stopped has no mark, and stays as it is"
