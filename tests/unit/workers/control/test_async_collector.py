"""Calls on an event loop: one at a time for a key, urgent ones first, and a failure takes no other's answer along."""

import asyncio
import gc
import logging
import threading
import time

import pytest

from workers.control.async_collector import AsyncCollector
from workers.errors import WorkersError


@pytest.fixture
def collector():
    return AsyncCollector("look", 1000)


def returned(collector, within=30):
    return list(collector.collect(until=time.monotonic() + within))


def first_returned(collector):
    """What returns first, in as many short sweeps as the loop's thread needs to run."""
    until = time.monotonic() + 30
    while not (found := returned(collector, within=0.2)) and time.monotonic() < until:
        pass
    return found


async def told(answer):
    return answer


async def hangs():
    await asyncio.sleep(3600)


async def waits_for(event):
    await asyncio.to_thread(event.wait, 30)
    return "told"


async def fails(error):
    raise error


def test_answers_come_in_the_order_of_the_questions_and_each_once(collector):
    second = threading.Event()
    collector.ask("b", waits_for, second)
    collector.ask("a", asyncio.to_thread, second.set)
    assert returned(collector) == [("b", "told"), ("a", None)]
    assert returned(collector) == []


def test_a_key_is_asked_again_only_once_its_answer_has_been_collected(collector):
    go = threading.Event()
    assert collector.ask("a", waits_for, go)
    assert not collector.ask("a", told, 2)
    assert returned(collector, within=0) == [], "it has not returned yet"
    go.set()
    assert not collector.ask("a", told, 3)
    assert returned(collector) == [("a", "told")]
    assert collector.ask("a", told, 4)
    assert returned(collector) == [("a", 4)]


def test_what_is_slow_is_left_for_a_later_sweep(collector):
    go = threading.Event()
    collector.ask("slow", waits_for, go)
    collector.ask("quick", told, 1)
    assert first_returned(collector) == [("quick", 1)]
    go.set()
    assert returned(collector) == [("slow", "told")]


@pytest.mark.parametrize("error", [WorkersError("no answer"), OSError("no file"), KeyError("a defect")])
def test_a_call_that_raises_is_logged_is_no_answer_and_takes_no_other_along(collector, caplog, error):
    collector.ask("a", told, 1)
    collector.ask("odd", fails, error)
    collector.ask("b", told, 2)
    assert returned(collector) == [("a", 1), ("b", 2)]
    [logged] = [record for record in caplog.records if record.name == "workers.control.async_collector"]
    assert logged.levelno == logging.WARNING
    assert logged.getMessage() == f"look odd failed: {error}"
    assert bool(logged.exc_info) is not isinstance(error, (WorkersError, OSError)), "where a defect is, is shown"
    collector.ask("odd", told, 3)
    assert returned(collector) == [("odd", 3)]


def test_answers_that_were_not_taken_stay_for_the_next_sweep(collector):
    for key in "abc":
        collector.ask(key, told, key.upper())
    first = next(collector.collect(until=time.monotonic() + 30))
    assert [first, *returned(collector)] == [("a", "A"), ("b", "B"), ("c", "C")]


def test_what_is_forgotten_is_neither_waited_for_nor_answered(collector):
    collector.ask("gone", hangs)
    collector.ask("kept", told, 1)
    collector.retain({"kept", "never asked"})
    assert returned(collector) == [("kept", 1)]
    collector.ask("gone", told, "anew")
    assert returned(collector) == [("gone", "anew")]


def test_an_urgent_call_is_answered_though_all_others_hang():
    collector = AsyncCollector("look", 40)
    for key in range(1000):
        collector.ask(key, hangs)
    assert returned(collector, within=0.2) == []
    collector.ask("new", told, 1, urgent=True)
    assert list(collector.collect(time.monotonic() + 30, only=["new", "never asked"])) == [("new", 1)]
    assert collector.is_pending(999)
    assert not collector.is_pending("new")


def test_no_more_calls_than_allowed_run_at_once():
    collector, go, began = AsyncCollector("look", 8), threading.Event(), []

    async def look():
        began.append(1)
        await waits_for(go)

    for key in range(40):
        collector.ask(key, look, urgent=True)
    until = time.monotonic() + 20
    while len(began) < 8 and time.monotonic() < until:
        time.sleep(0.01)
    assert returned(collector, within=0.3) == []
    assert len(began) == 8
    go.set()
    assert len(returned(collector)) == 40


def test_the_thread_ends_with_the_collector():
    collector = AsyncCollector("look at the end", 8)
    collector.ask("a", told, 1)
    returned(collector)
    [thread] = [thread for thread in threading.enumerate() if thread.name == "look at the end"]
    del collector
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()
