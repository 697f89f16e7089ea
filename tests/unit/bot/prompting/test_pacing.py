"""All open answers together keep to Slack's tiers."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bot.prompting.pacing import STREAMED, UPDATED, interval, wait

SECOND = timedelta(seconds=1)


def test_the_first_words_are_shown_at_once():
    assert wait(STREAMED, open_answers=20, pending=1, since=None) == timedelta()


def test_one_answer_alone_is_shown_several_times_in_two_seconds():
    assert wait(STREAMED, open_answers=1, pending=100, since=SECOND) == timedelta()
    assert wait(UPDATED, open_answers=1, pending=100, since=SECOND) > timedelta()


def test_few_characters_wait_for_more():
    assert wait(STREAMED, open_answers=1, pending=3, since=SECOND) > timedelta()
    assert wait(STREAMED, open_answers=1, pending=3, since=2 * SECOND) == timedelta()


def test_while_nothing_has_come_there_is_nothing_to_hurry_for():
    for since in (None, SECOND, 100 * SECOND):
        assert wait(STREAMED, open_answers=1, pending=0, since=since) > timedelta()


@given(st.integers(min_value=1, max_value=200))
def test_together_they_stay_within_the_tier(open_answers):
    for pace, tier in ((STREAMED, 100), (UPDATED, 50)):
        assert open_answers * timedelta(minutes=1) / interval(pace, open_answers) <= tier
