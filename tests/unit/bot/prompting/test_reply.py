"""An answer reaches its thread whole and once, whatever Slack does in between."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.pacing import ROTATE_AFTER
from bot.prompting.reply import OpenAnswers, Reply
from bot.prompting.streamed import AnswerPlace, AnswerRecord
from tests.fakes.slack_thread import SlackThread

PLACE = AnswerPlace(channel="C1", thread="0.5", team="T1", user="U1")


def reply_in(slack, **more):
    def starting():
        slack.calls.append("starting")

    def began(ts):
        slack.calls.append("began")
        slack.told.add(ts)

    slack.told.update(more.get("begun", ()))
    record = AnswerRecord(metadata={}, starting=starting, began=began, lost=slack.lost)
    return Reply(slack, PLACE, OpenAnswers(), record, clock=slack.clock, **more)


def read(slack):
    """What a reader sees, without our line below."""
    return " ".join("\n".join(slack.messages.values()).replace("_m · 1 s_", "").split())


WORDS = st.lists(st.integers(min_value=0, max_value=999).map(str), min_size=1, max_size=40)
FAILURES = st.lists(st.sampled_from([None, None, "busy", "away", "refused", "lost"]), max_size=30)


@given(WORDS, FAILURES, st.booleans())
def test_every_word_is_there_once_and_in_order(words, failures, resumed):
    slack = SlackThread()
    begun = (slack._new("begun by one who died"),) if resumed else ()
    slack.failures = failures
    text = ""
    with reply_in(slack, begun=begun) as reply:
        for word in words:
            text += f"{word} "
            slack.now += reply.wait(len(text)).total_seconds()
            reply.show(text)
        reply.finish(text, footer="m · 1 s")
    assert read(slack).split() == words


def test_an_answer_goes_on_in_a_new_message_before_its_stream_dies():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("one ")
        slack.now += ROTATE_AFTER.total_seconds() + 1
        reply.show("one two ")
        reply.finish("one two three", footer="m · 1 s")
    assert list(slack.messages.values()) == ["one ", "two three"]
    assert list(slack.footers.values()) == ["", "m · 1 s"]


def test_a_code_block_that_goes_on_in_a_new_message_is_opened_again():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("```python\nx = 1\n")
        slack.now += ROTATE_AFTER.total_seconds() + 1
        reply.finish("```python\nx = 1\ny = 2\n```")
    assert list(slack.messages.values()) == ["```python\nx = 1\n```", "```python\ny = 2\n```"]


def test_a_code_block_goes_on_where_its_stream_died():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("```python\nx = 1\n")
        slack.streaming.clear()
        reply.finish("```python\nx = 1\ny = 2\n```\n", footer="m · 1 s")
    assert list(slack.messages.values()) == ["```python\nx = 1\n", "```\ny = 2\n```\n_m · 1 s_"]


def test_our_own_sentence_stands_outside_the_models_code():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.finish("```\nx = 1", closing="It broke off.")
    assert list(slack.messages.values()) == ["```\nx = 1\n```\n\n_It broke off._"]


def test_a_sentence_alone_is_a_message():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.finish("", closing="The model answered with nothing.")
    assert list(slack.messages.values()) == ["The model answered with nothing."]


def test_a_shorter_second_attempt_leaves_nothing_of_the_first():
    slack = SlackThread()
    begun = (slack._new("first"), slack._new("second"), slack._new("third"))
    with reply_in(slack, begun=begun) as reply:
        reply.finish("Short.", footer="m · 1 s")
    assert list(slack.messages.values()) == ["Short.\n_m · 1 s_"]


def test_a_message_that_somebody_took_away_is_written_anew():
    slack = SlackThread()
    with reply_in(slack, begun=("9.0",)) as reply:
        reply.finish("Here it is.")
    assert list(slack.messages.values()) == ["Here it is."]


def test_words_do_not_wait_long_for_a_stream():
    slack = SlackThread(failures=["busy"] * 10)
    with reply_in(slack) as reply:
        for _ in range(10):
            slack.now += max(reply.wait(5), timedelta(seconds=0.1)).total_seconds()
            reply.show("Hello there ")
            if "post" in slack.calls:
                break
    assert slack.now < 1007


@pytest.mark.parametrize("failures", [["lost"], ["refused", "lost"]])
def test_a_message_whose_reply_was_lost_is_not_posted_again(failures):
    slack = SlackThread(failures=failures)
    with reply_in(slack) as reply:
        reply.show("Hello ")
        reply.finish("Hello there.")
    assert list(slack.messages.values()) == ["Hello there."]
    assert not slack.streaming


def test_that_a_message_begins_is_noted_before_it_is_posted():
    for failures, call in (([], "start"), (["refused"], "post")):
        slack = SlackThread(failures=failures)
        with reply_in(slack) as reply:
            reply.finish("Hello")
        assert slack.calls.index("starting") < slack.calls.index(call) < slack.calls.index("began")


def test_nothing_unsettled_is_shown():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("Hey <!chan")
        assert list(slack.messages.values()) == ["Hey "]
        reply.finish("Hey <!channel>")
    assert list(slack.messages.values()) == ["Hey < !channel>"]
