"""An answer reaches its thread whole and once, whatever Slack does in between."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.prompting.pacing import ROTATE_AFTER, UPDATED
from bot.prompting.reply import OpenAnswers, Reply
from bot.prompting.streamed import AnswerRecord, Streamed
from bot.prompting.way import AnswerPlace
from bot.prompting.withdrawal import Why, Withdrawal, Withdrawn
from bot.slack.calls import NEW_BLOCKS
from bot.views.answer import Below
from tests.fakes.slack_thread import SlackThread

PLACE = AnswerPlace(channel="D1", thread="0.5", team="T1", user="U1")


FOOTER = Below(footer="m · 1 s")
CHANNEL = replace(PLACE, channel="C1")


def reply_in(slack, place=PLACE, **more):
    def starting():
        slack.calls.append("starting")

    def began(ts):
        slack.calls.append("began")
        slack.told.add(ts)

    def removed(ts):
        slack.told.discard(ts)

    slack.told.update(more.get("begun", ()))
    record = AnswerRecord(metadata={}, starting=starting, began=began, removed=removed, lost=slack.lost)
    return Reply(slack, place, more.pop("open_answers", None) or OpenAnswers(), record, clock=slack.clock, **more)


def finish(reply, text, **more):
    """Show the whole answer. Each pause lasts a second of the fake's clock."""
    return passed(reply, reply.finish(text, **more))


def passed(reply, steps):
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return ended.value
        reply._slack.now += 1


def read(slack):
    """What a reader sees, without our line below."""
    return " ".join("\n".join(slack.messages.values()).replace("_m · 1 s_", "").split())


WORDS = st.lists(st.integers(min_value=0, max_value=999).map(str), min_size=1, max_size=40)
FAILURES = st.lists(st.sampled_from([None, None, "busy", "away", "refused", "lost"]), max_size=30)


@given(WORDS, FAILURES, st.booleans(), st.sampled_from([PLACE, CHANNEL]))
def test_every_word_is_there_once_and_in_order(words, failures, resumed, place):
    slack = SlackThread()
    begun = (slack._new("begun by one who died"),) if resumed else ()
    slack.failures = failures
    text = ""
    with reply_in(slack, place, begun=begun) as reply:
        for word in words:
            text += f"{word} "
            slack.now += reply.wait(len(text)).total_seconds()
            reply.show(text)
        finish(reply, text, below=FOOTER)
    assert read(slack).split() == words


def test_an_answer_goes_on_in_a_new_message_before_its_stream_dies():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("one ")
        slack.now += ROTATE_AFTER.total_seconds() + 1
        reply.show("one two ")
        finish(reply, "one two three", below=FOOTER)
    assert list(slack.messages.values()) == ["one ", "two three"]
    assert list(slack.footers.values()) == ["", "m · 1 s"]


def test_a_code_block_that_goes_on_in_a_new_message_is_opened_again():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("```python\nx = 1\n")
        slack.now += ROTATE_AFTER.total_seconds() + 1
        finish(reply, "```python\nx = 1\ny = 2\n```")
    assert list(slack.messages.values()) == ["```python\nx = 1\n```", "```python\ny = 2\n```"]


def test_a_code_block_goes_on_where_its_stream_died():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("```python\nx = 1\n")
        slack.streaming.clear()
        finish(reply, "```python\nx = 1\ny = 2\n```\n", below=FOOTER)
    assert list(slack.messages.values()) == ["```python\nx = 1\n", "```python\ny = 2\n```\n_m · 1 s_"]


def test_our_own_sentence_stands_outside_the_models_code():
    slack = SlackThread()
    with reply_in(slack) as reply:
        finish(reply, "```\nx = 1", closing="It broke off.")
    assert list(slack.messages.values()) == ["```\nx = 1\n```\n\n_It broke off._"]


def test_a_sentence_alone_is_a_message():
    slack = SlackThread()
    with reply_in(slack) as reply:
        finish(reply, "", closing="The model answered with nothing.")
    assert list(slack.messages.values()) == ["The model answered with nothing."]


def test_a_shorter_second_attempt_leaves_nothing_of_the_first():
    slack = SlackThread()
    begun = (slack._new("first"), slack._new("second"), slack._new("third"))
    with reply_in(slack, begun=begun) as reply:
        finish(reply, "Short.", below=FOOTER)
    assert list(slack.messages.values()) == ["Short.\n_m · 1 s_"]


def test_a_message_that_somebody_took_away_is_written_anew():
    slack = SlackThread()
    with reply_in(slack, begun=("9.0",)) as reply:
        finish(reply, "Here it is.")
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
        finish(reply, "Hello there.")
    assert list(slack.messages.values()) == ["Hello there."]
    assert not slack.streaming


def test_that_a_message_begins_is_noted_before_it_is_posted():
    for failures, call in (([], "start"), (["refused"], "post")):
        slack = SlackThread(failures=failures)
        with reply_in(slack) as reply:
            finish(reply, "Hello")
        assert slack.calls.index("starting") < slack.calls.index(call) < slack.calls.index("began")


def test_nothing_unsettled_is_shown():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("Hey <!chan")
        assert list(slack.messages.values()) == ["Hey "]
        finish(reply, "Hey <!channel>")
    assert list(slack.messages.values()) == ["Hey < !channel>"]


def test_in_a_channel_an_answer_is_posted_once_and_updated():
    slack = SlackThread()
    with reply_in(slack, CHANNEL) as reply:
        reply.show("Hello ")
        finish(reply, "Hello there.", below=FOOTER)
    assert slack.calls == ["starting", "post", "began", "update"]
    assert list(slack.messages.values()) == ["Hello there.\n_m · 1 s_"]


def test_in_a_channel_an_answer_is_a_stream_where_the_setting_says_so():
    slack = SlackThread()
    with reply_in(slack, CHANNEL, streams_in_channels=True) as reply:
        finish(reply, "Hello there.")
    assert slack.calls == ["starting", "start", "began", "stop"]


@pytest.mark.parametrize("letter", ["a", "\N{CJK UNIFIED IDEOGRAPH-8FA3}", "\N{GRINNING FACE}"])
def test_no_stream_is_larger_than_slack_accepts(letter):
    slack = SlackThread()
    text = "```python\n" + "".join(f"{letter * 300}\n" for _ in range(100)) + "```"
    with reply_in(slack) as reply:
        finish(reply, text)
    parts = list(slack.messages.values())
    assert max(len(part.encode()) for part in parts) <= 10_400
    assert all(part.startswith("```python\n") and part.endswith("```") for part in parts)
    assert "".join(part.removeprefix("```python\n").removesuffix("```") for part in parts).count(letter) == 30_000


@pytest.mark.parametrize("place", [PLACE, CHANNEL])
def test_an_answer_of_30_kb_with_nested_fences_is_byte_for_byte_what_the_model_wrote(place):
    slack = SlackThread()
    lines = [f"    x = {n}  # *not* bold, ``` nor a fence" for n in range(700)]
    text = "".join(f"````markdown\n```python\n{line}\n```\n````\n\n" for line in lines)
    with reply_in(slack, place) as reply:
        for part in range(1, 10):
            slack.now += 60
            reply.show(text[: part * len(text) // 10])
        finish(reply, text)
    parts = list(slack.messages.values())
    assert len(text) > 30_000
    assert "".join(f"{part.strip()}\n\n" for part in parts) == text, "no fence was cut, so none is added"


def test_an_answer_of_eleven_thousand_characters_is_one_message():
    slack = SlackThread()
    with reply_in(slack, CHANNEL) as reply:
        finish(reply, "word " * 2_300, below=FOOTER)
    assert len(slack.messages) == 1


@pytest.mark.parametrize("words", [40, 6_000])
def test_an_answer_that_may_not_be_edited_is_replaced_once_when_it_is_complete(words):
    slack = SlackThread()
    slack.is_editable = False
    text = " ".join(str(n) for n in range(words))
    with reply_in(slack, CHANNEL) as reply:
        for part in range(1, 10):
            slack.now += 60
            reply.show(text[: part * len(text) // 10])
        finish(reply, text, below=FOOTER)
    assert read(slack).split() == text.split()
    assert slack.calls.count("post") == 1 + len(slack.messages)
    assert slack.told == set(slack.messages)


@pytest.mark.parametrize("blocks_up_to", [5_000, 0])
def test_an_answer_whose_blocks_slack_refuses_is_complete_in_smaller_messages(blocks_up_to):
    slack = SlackThread()
    text = " ".join(f"<{n}>" for n in range(2_000))
    with reply_in(slack, CHANNEL) as reply:
        reply.show(text[:2_000])
        slack.blocks_up_to = blocks_up_to
        reply.show(text[:9_000])
        finish(reply, text)
    said = "".join(slack.messages.values()).replace("&lt;", "<").replace("&gt;", ">")
    assert said.split() == text.split()


def test_the_answer_to_the_oldest_question_is_posted_first():
    slack, open_answers = SlackThread(), OpenAnswers()
    with (
        reply_in(slack, CHANNEL, open_answers=open_answers, ticket=(2.0, "b")) as younger,
        reply_in(slack, CHANNEL, open_answers=open_answers, ticket=(1.0, "a")) as older,
    ):
        slack.failures = ["busy"]
        older.show("First ")
        younger.show("Second ")
        assert list(slack.messages.values()) == []
        older.show("First ")
        younger.show("Second ")
    assert list(slack.messages.values()) == ["First ", "Second "]


def test_an_answer_that_ends_unposted_blocks_no_other_answer():
    slack, open_answers = SlackThread(failures=["busy"]), OpenAnswers()
    with reply_in(slack, CHANNEL, open_answers=open_answers, ticket=(1.0, "a")) as older:
        older.show("First ")
    with reply_in(slack, CHANNEL, open_answers=open_answers, ticket=(2.0, "b")) as younger:
        younger.show("Second ")
    assert list(slack.messages.values()) == ["Second "]


def test_a_stream_that_somebody_stopped_is_the_end_of_the_answer():
    slack = SlackThread()
    with reply_in(slack) as reply:
        reply.show("One ")
        slack.stopped_by_user = True
        with pytest.raises(Withdrawn):
            finish(reply, "One two.")
        assert list(slack.messages.values()) == ["One "]


def test_nothing_is_posted_for_a_withdrawn_question():
    slack, withdrawal = SlackThread(), Withdrawal()
    with reply_in(slack, CHANNEL, withdrawal=withdrawal) as reply:
        withdrawal.because(Why.DELETED)
        with pytest.raises(Withdrawn):
            finish(reply, "Hello.")
    assert not slack.messages


def test_many_streams_whose_models_think_say_so_together_no_oftener_than_slack_allows():
    slack, open_answers = SlackThread(), OpenAnswers()
    open_answers.change(Streamed, 63)
    with reply_in(slack, open_answers=open_answers) as reply:
        for second in range(180):
            slack.now += 1
            reply.think(second)
    assert 1 <= slack.calls.count("status") * 64 <= 3 * UPDATED.per_minute + 64


class OldSlack(SlackThread):
    """It has refused the new blocks before."""

    def has(self, method, channel=""):
        return method != NEW_BLOCKS

    def note(self, method, channel, refused):
        self.calls.append("note")


def test_that_slack_refused_the_new_blocks_is_not_noted_again_by_an_answer_that_did_not_send_them():
    slack = OldSlack()
    with reply_in(slack) as reply:
        reply.show("Mustard")
        finish(reply, "Mustard", below=Below(footer="m", rates="C1:1"))
    assert "note" not in slack.calls, "it would never be tried again"
