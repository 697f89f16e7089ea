"""Within a channel the oldest is next; the channels take turns, and leave places for one another."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bot.slack.fair_share import RESERVED, Line, may_begin

ASKED = st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 50)), max_size=60)


@given(ASKED)
def test_each_item_is_taken_once_and_those_of_a_channel_in_their_order(asked):
    line = Line()
    for n, (channel, at) in enumerate(asked):
        line.add(channel, (at, str(n)), (channel, at, str(n)))
    taken = [line.take() for _ in range(len(asked))]
    assert line.take() is None
    assert sorted(taken) == sorted((channel, at, str(n)) for n, (channel, at) in enumerate(asked))
    for each in "ABCD":
        of_channel = [entry[1:] for entry in taken if entry[0] == each]
        assert of_channel == sorted(of_channel)


@given(ASKED, st.integers(0, 150))
def test_an_item_waits_for_at_most_one_of_each_other_channel(asked, crowd):
    line = Line()
    for n in range(crowd):
        line.add("crowd", (0, str(n)), "crowd")
    for n, (channel, at) in enumerate(asked):
        line.add(channel, (at, str(n)), channel)
    line.add("alone", (99, ""), "alone")
    taken = []
    while taken[-1:] != ["alone"]:
        taken.append(line.take())
    assert max(Counter(taken).values()) == 1


def test_who_found_the_budget_spent_keeps_the_turn_of_its_channel():
    line = Line()
    line.add("A", (1, ""), "A1")
    line.add("B", (2, ""), "B1")
    assert line.take() == "A1"
    line.add("A", (1, ""), "A1", keeps_turn=True)
    assert [line.take(), line.take()] == ["A1", "B1"]


def test_an_item_can_leave_the_line():
    line = Line()
    for n in range(3):
        line.add("A", (n, ""), n)
    line.remove("A", 1)
    line.remove("B", 7)
    assert [line.take(), line.take(), line.take()] == [0, 2, None]


@given(st.lists(st.sampled_from("ABCDEFGH"), max_size=20), st.integers(1, 64))
def test_channels_that_ask_without_end_leave_a_place_for_another(wishes, at_once):
    running = Counter()
    for channel in wishes * at_once:
        if may_begin(channel, running, at_once):
            running[channel] += 1
    assert running.total() <= at_once
    if at_once // RESERVED > len(set(wishes)):
        assert may_begin("alone", running, at_once)
