"""What counts as growth in a soak, and what a question's answers may be."""

from random import Random

import pytest

from bot.sandbox.seed import BOT_USER
from tests.soak import judgement
from tests.soak.bookkeeping import Book, Posted, never_acknowledged, wrong_answers
from tests.soak.deeds import MOST_MACHINES, STANDING, after, next_deed


@pytest.mark.parametrize(("each", "grows"), [(0.0, False), (0.1, False), (2.0, True)])
def test_memory_that_grows_with_every_sample_has_grown(each, grows):
    samples = [100 + each * n for n in range(40)]
    assert judgement.memory("bot", samples).has_grown is grows
    assert judgement.memory("sweeper", samples).has_grown is grows


def test_a_pool_that_fills_has_not_grown_and_a_thread_per_deed_has():
    assert not judgement.count("threads", [4] * 10 + [8] * 20, judgement.THREADS).has_grown
    assert judgement.count("threads", list(range(40)), judgement.THREADS).has_grown


def test_a_key_that_never_expires_may_not_be_left_by_each_deed_unless_it_is_named():
    found = {one.what: one.has_grown for one in judgement.keys([{"a": n, "mixtral:names": 1} for n in range(20)])}
    assert found == {"a": True, "mixtral:names": False}
    named = next(iter(judgement.GROW))
    assert not any(one.has_grown for one in judgement.keys([{named: n} for n in range(20)]))


def message(ts, thread, user=BOT_USER):
    return {"ts": ts, "thread_ts": thread, "user": user}


@pytest.mark.parametrize(("answers", "wrong"), [(0, True), (1, False), (2, True)])
def test_a_question_has_exactly_one_answer(answers, wrong):
    one = Posted(deployment="x", channel="C", ts="1")
    state = {"messages": {"C": [message("1", "1", "U"), *(message(f"2.{n}", "1") for n in range(answers))]}}
    assert bool(wrong_answers(state, Book(wanted={"x": 1}, questions=[one]))) is wrong
    assert bool(wrong_answers(state, Book(questions=[one]))) is (answers == 2), "it has ended"


def test_only_a_question_whose_every_delivery_failed_was_never_acknowledged():
    failed = [{"ts": "1", "acked": False}] * 4
    assert never_acknowledged(failed, "1")
    assert not never_acknowledged(failed[1:], "1"), "Slack goes on"
    assert not never_acknowledged([*failed[1:], {"ts": "1", "acked": True}], "1")
    assert not never_acknowledged([*failed[1:], {"ts": "1"}], "1"), "the last one has no answer yet"


def test_a_seed_repeats_its_deeds_and_never_wants_more_machines_than_the_stand_ins_run():
    courses = []
    for _ in range(2):
        rng, wanted, course = Random(5), {STANDING: 1}, []
        for number in range(500):
            course.append(next_deed(rng, wanted, number))
            wanted = after(course[-1], wanted)
            assert sum(wanted.values()) <= MOST_MACHINES
            assert STANDING in wanted
        courses.append(course)
    assert courses[0] == courses[1]
