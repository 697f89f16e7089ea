"""Threads in which the people take turns."""

import threading
from concurrent.futures import CancelledError

import pytest

from bot.slack.fair_threads import FairThreads
from tests.patience import PATIENCE

SOON = 10 * PATIENCE


@pytest.fixture
def threads():
    it = FairThreads(8, "test")
    yield it
    it.close()


def test_the_result_or_the_error_is_in_the_future(threads):
    assert threads.submit("U1", lambda *given, **named: (given, named), 1, a=2).result(SOON) == ((1,), {"a": 2})
    assert isinstance(threads.submit("U1", [].pop).exception(SOON), IndexError)


def test_one_person_s_calls_leave_threads_to_the_others(threads):
    held, going_on = threading.Semaphore(0), threading.Event()
    try:
        waiting = [threads.submit("U1", lambda: (held.release(), going_on.wait(60))) for _ in range(64)]
        for _ in range(4):
            assert held.acquire(timeout=SOON)
        for person in ("U2", "U3", "U4"):
            assert threads.submit(person, str, person).result(SOON) == person
        assert not any(call.done() for call in waiting)
        assert not held.acquire(blocking=False)
    finally:
        going_on.set()
    for call in waiting:
        call.result(SOON)


def test_what_is_submitted_after_the_end_is_cancelled():
    threads = FairThreads(2, "test")
    threads.close()
    with pytest.raises(CancelledError):
        threads.submit("U1", str).result(SOON)
