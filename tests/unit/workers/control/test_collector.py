"""Calls in threads: one at a time for a key, and one that fails takes no other's answer along."""

import logging
import threading
import time

import pytest

from workers.control.collector import Collector
from workers.errors import WorkersError


@pytest.fixture
def collector():
    return Collector("look", threads=4)


def returned(collector, within=30):
    return list(collector.collect(until=time.monotonic() + within))


def first_returned(collector):
    """What returns first, in as many short sweeps as the threads need to run."""
    until = time.monotonic() + 30
    while not (found := returned(collector, within=0.2)) and time.monotonic() < until:
        pass
    return found


def fail(error):
    raise error


def test_answers_come_in_the_order_of_the_questions_whichever_is_quicker(collector):
    second = threading.Event()
    collector.ask("b", lambda: second.wait(30))
    collector.ask("a", second.set)
    assert returned(collector) == [("b", True), ("a", None)]


def test_none_is_an_answer_and_each_is_given_once(collector):
    collector.ask("a", lambda: None)
    assert returned(collector) == [("a", None)]
    assert returned(collector) == []


def test_a_key_is_asked_again_only_once_its_answer_has_been_collected(collector):
    go, calls = threading.Event(), []

    def look(number):
        calls.append(number)
        return go.wait(30) and number

    assert collector.ask("a", look, 1)
    assert not collector.ask("a", look, 2)
    assert list(collector.collect(until=0)) == [], "it has not returned yet"
    go.set()
    assert not collector.ask("a", look, 3)
    assert returned(collector) == [("a", 1)]
    assert calls == [1]
    assert collector.ask("a", look, 4)
    assert returned(collector) == [("a", 4)]


def test_what_is_slow_is_left_for_a_later_sweep(collector):
    go = threading.Event()
    collector.ask("slow", go.wait, 60)
    began = time.monotonic()
    assert returned(collector, within=0.2) == []
    assert 0.2 <= time.monotonic() - began < 45
    collector.ask("quick", lambda: "told")
    assert first_returned(collector) == [("quick", "told")]
    go.set()
    assert returned(collector) == [("slow", True)]


@pytest.mark.parametrize("error", [WorkersError("no answer"), OSError("no file"), KeyError("a defect"), SystemExit(1)])
def test_a_call_that_raises_is_logged_is_no_answer_and_takes_no_other_along(collector, caplog, error):
    collector.ask("a", lambda: 1)
    collector.ask("odd", fail, error)
    collector.ask("b", lambda: 2)
    assert returned(collector) == [("a", 1), ("b", 2)]
    [logged] = caplog.records
    assert logged.levelno == logging.WARNING
    assert logged.getMessage() == f"look odd failed: {error}"
    assert bool(logged.exc_info) is not isinstance(error, (WorkersError, OSError)), "where a defect is, is shown"
    collector.ask("odd", lambda: 3)
    assert returned(collector) == [("odd", 3)]


def test_answers_that_were_not_taken_stay_for_the_next_sweep(collector):
    for key in "abc":
        collector.ask(key, str.upper, key)
    first = next(collector.collect(until=time.monotonic() + 30))
    assert [first, *returned(collector)] == [("a", "A"), ("b", "B"), ("c", "C")]


def test_what_is_forgotten_is_neither_waited_for_nor_answered(collector):
    go = threading.Event()
    collector.ask("gone", go.wait, 30)
    collector.ask("kept", lambda: 1)
    collector.retain({"kept", "never asked"})
    assert returned(collector) == [("kept", 1)]
    go.set()
    collector.ask("gone", lambda: "anew")
    assert returned(collector) == [("gone", "anew")]


def test_no_more_calls_than_threads_run_at_once_and_their_names_tell_what_they_do():
    collector, go, names = Collector("look", threads=2), threading.Event(), []

    def look():
        names.append(threading.current_thread().name)
        return go.wait(30)

    for key in range(4):
        collector.ask(key, look)
    until = time.monotonic() + 20
    while len(names) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert returned(collector, within=0.2) == []
    assert sorted(names) == ["look_0", "look_1"]
    go.set()
    assert len(returned(collector)) == 4
