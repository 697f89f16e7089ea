"""Which of thousands of waiting probes begins next."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.control.turns import BEGIN_AT_ONCE, URGENT_IN_A_ROW, Turns

REPLICAS = 3000
STEP = 0.1
"""Time after which a call is not fresh any more, in seconds."""


def begun(turns):
    return list(iter(turns.next, None))


def test_an_urgent_call_begins_next_however_many_others_wait():
    turns = Turns(10_000)
    for n in range(REPLICAS):
        turns.queue(n, urgent=False)
    assert len(begun(turns)) == BEGIN_AT_ONCE
    turns.queue("new", urgent=True)
    assert begun(turns) == [], "too many have just begun"
    turns.has_begun(0)
    assert begun(turns) == ["new"]


def test_calls_that_hang_leave_a_quarter_to_urgent_ones():
    turns = Turns(1000)
    for n in range(REPLICAS):
        turns.queue(n, urgent=False)
    hanging = 0
    while calls := begun(turns):
        hanging += len(calls)
        for call in calls:
            turns.has_begun(call)
    assert hanging == 750
    for n in range(REPLICAS):
        turns.queue(f"new {n}", urgent=True)
    assert len(begun(turns)) == 250


def test_urgent_calls_without_end_do_not_keep_the_others_from_their_turn():
    turns = Turns(1000)
    for n in range(20):
        turns.queue(f"urgent {n}", urgent=True)
        turns.queue(f"other {n}", urgent=False)
    first = begun(turns)[: 2 * (URGENT_IN_A_ROW + 1)]
    assert [call.split()[0] for call in first] == (["urgent"] * URGENT_IN_A_ROW + ["other"]) * 2


@pytest.mark.parametrize("seconds", [0.05, 0.5, 2.0, 15.0])
@pytest.mark.parametrize("replicas", [750, 1500, 3000])
def test_a_round_takes_its_number_of_steps_whatever_the_replicas_take(replicas, seconds):
    """More run at the same time, the longer they take; the time until the last one begins stays the same."""
    turns, running, now, most = Turns(20_000), deque(), 0, 0
    for n in range(replicas):
        turns.queue(n, urgent=True)
    left = replicas
    while left:
        calls = begun(turns)
        left -= len(calls)
        running.extend((now, call) for call in calls)
        most = max(most, len(running))
        now += 1
        for call in calls:
            turns.has_begun(call)
        while running and (now - running[0][0]) * STEP >= seconds:
            turns.end(running.popleft()[1])
    assert now <= -(-replicas // BEGIN_AT_ONCE)
    assert most <= min(replicas, BEGIN_AT_ONCE * max(1, round(seconds / STEP) + 1))
    if seconds >= 2:
        assert most == replicas


@given(st.lists(st.sampled_from(["urgent", "other", "begin", "end", "old"]), max_size=200), st.integers(4, 40))
def test_every_call_begins_once_and_never_more_than_the_most_run(steps, most):
    turns, queued, running, seen = Turns(most), 0, [], []
    for step in [*steps, *["begin", "end"] * 400]:
        if step in ("urgent", "other"):
            turns.queue(queued, urgent=step == "urgent")
            queued += 1
        elif step == "begin" and (call := turns.next()) is not None:
            running.append(call)
            seen.append(call)
            assert len(running) <= most
        elif step == "end" and running:
            turns.end(running.pop(0))
        elif step == "old" and running:
            turns.has_begun(running[0])
    assert sorted(seen) == list(range(queued))
