"""Many jobs that wait for one budget: no thread is held, each channel gets its turn, only the next one asks."""

import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from bot.slack.failures import SlackAway, SlackBusy, SlackRefused
from bot.slack.fair_pool import FairPool
from bot.slack.outbox import Outbox
from bot.slack.slack_steps import by_and_by, insisting
from tests.patience import PATIENCE

SOON = 10 * PATIENCE


class OneBudget:
    """A budget that allows the calls which a test gives to it."""

    def __init__(self):
        self.left = self.asked = 0
        self.askers = set()
        self.spent = []
        self.changed = threading.Condition()

    def give(self, calls, until):
        """Allow some calls, and wait until `until` have been made."""
        with self.changed:
            self.left += calls
            assert self.changed.wait_for(lambda: len(self.spent) >= until, SOON)

    def wait_for(self, *askers):
        """Wait until each of them has asked. The next one asks again and again, so a count does not tell who has."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.askers.issuperset(askers), SOON)

    def take(self, channel, name):
        with self.changed:
            self.asked += 1
            self.askers.add(name)
            self.changed.notify_all()
            if not self.left:
                raise SlackBusy(0.005, budget="chat.update", channel=channel)
            self.left -= 1
            self.spent.append(name)
            self.changed.notify_all()


@pytest.fixture
def budget():
    return OneBudget()


@pytest.fixture
def pool():
    it = FairPool(2, "test")
    yield it
    it.close()


def job(budget, channel, name, ended):
    yield from insisting(partial(budget.take, channel, name))
    ended.set()


def crowd(pool, budget, channel, count):
    names = [f"{channel}{n:03}" for n in range(count)]
    for n, name in enumerate(names):
        pool.submit(name, channel, (n, name), partial(job, budget, channel, name, threading.Event()))
    budget.wait_for(*names)


def test_a_hundred_jobs_that_wait_hold_no_thread(pool, budget):
    crowd(pool, budget, "A", 100)
    ended = threading.Event()
    pool.submit("alone", "B", (999, ""), partial(job, OneBudget(), "B", "alone", ended))
    other = threading.Event()

    def at_once():
        other.set()
        yield from ()

    pool.submit("at once", "C", (999, ""), at_once)
    assert other.wait(SOON)
    assert not ended.is_set()
    assert sum(thread.name.startswith("test") for thread in threading.enumerate()) <= 3


def test_they_are_served_in_their_order_and_the_other_channel_in_its_turn(pool, budget):
    crowd(pool, budget, "A", 50)
    pool.submit("B", "B", (999, "B"), partial(job, budget, "B", "B", threading.Event()))
    budget.wait_for("B")
    for n in range(1, 52):
        budget.give(1, until=n)
    assert budget.spent.index("B") <= 2
    of_crowd = [name for name in budget.spent if name != "B"]
    assert of_crowd == sorted(of_crowd)


def test_only_the_next_one_asks(pool, budget):
    crowd(pool, budget, "A", 100)
    before, began = budget.asked, time.monotonic()
    budget.give(100, until=100)
    assert budget.asked - before <= 100 + (time.monotonic() - began) / 0.005
    asked = budget.asked
    threading.Event().wait(0.05)
    assert budget.asked == asked


def test_a_job_that_is_not_wanted_any_more_tries_at_once(pool, budget):
    crowd(pool, budget, "A", 20)
    asked, tries = threading.Event(), iter([1])

    def withdrawn():
        def call():
            if next(tries, None):
                raise SlackBusy(60, budget="chat.delete", channel="A")
            asked.set()

        yield from insisting(call)

    pool.submit("withdrawn", "A", (5, ""), withdrawn)
    while pool.has("withdrawn") and not asked.wait(0.01):
        pool.hasten(["withdrawn", "A001", "unknown"])
    assert asked.is_set()


def test_a_key_has_one_job_and_a_failed_job_ends(pool, budget, caplog):
    def fails():
        raise ValueError("broken")
        yield

    crowd(pool, budget, "A", 1)
    assert not pool.submit("A000", "A", (0, ""), fails)
    assert pool.submit("fails", "A", (0, ""), fails)
    until = time.monotonic() + SOON
    while pool.has("fails"):
        assert time.monotonic() < until
        time.sleep(0.005)
    assert "The job fails failed" in caplog.text


def test_what_waits_at_the_end_is_closed(budget):
    pool, closed = FairPool(2, "test"), threading.Event()

    def waits():
        try:
            yield from insisting(partial(budget.take, "A", "A"))
        finally:
            closed.set()

    pool.submit("A", "A", (0, ""), waits)
    budget.wait_for("A")
    pool.close()
    assert closed.is_set()
    assert not pool.submit("B", "B", (0, ""), waits)


@pytest.mark.parametrize("refusal", [SlackRefused("message_not_found"), SlackAway("gone"), ValueError("broken")])
def test_a_job_whose_repeated_call_is_refused_does_not_keep_the_others_from_the_budget(pool, budget, refusal):
    goes_on, has_served, failures = threading.Event(), threading.Event(), [SlackBusy(0.01, budget="chat.update")]

    def call():
        raise failures.pop() if failures else refusal

    def answers():
        with suppress(SlackRefused, SlackAway, ValueError):
            yield from insisting(call, after_away=False)
        goes_on.wait(4 * SOON)  # it writes its answer meanwhile

    pool.submit("answers", "A", (0, ""), answers)
    while pool.has("answers") and failures:
        time.sleep(0.005)
    pool.submit("waits", "B", (0, ""), partial(job, budget, "B", "waits", has_served))
    budget.wait_for("waits")
    with budget.changed:
        budget.left = 1
    is_served = has_served.wait(SOON)
    goes_on.set()
    assert is_served


def test_a_pool_whose_threads_are_all_taken_does_not_look_again_and_again(budget):
    looks, release = [], threading.Event()

    def clock():
        looks.append(1)
        return time.monotonic()

    def long():
        release.wait(SOON)
        yield from ()

    pool = FairPool(1, "test", clock=clock)
    pool.submit("waits", "A", (0, ""), partial(job, budget, "A", "waits", threading.Event()))
    budget.wait_for("waits")
    with pool._changed:
        pool.submit("long", "B", (0, ""), long)
        while pool._running["B"] == 0:
            pool._changed.wait(0.01)
    time.sleep(0.05)
    before = len(looks)
    time.sleep(0.3)
    seen = len(looks) - before
    release.set()
    pool.close()
    assert seen < 20


def test_a_job_that_fails_when_it_is_closed_does_not_keep_the_others_open(caplog):
    pool, budget, closed = FairPool(2, "test"), OneBudget(), []

    def waits(name):
        try:
            yield from insisting(partial(budget.take, "A", name))
        finally:
            closed.append(name)
            raise KeyError(name)

    for name in "abc":
        pool.submit(name, "A", (0, name), partial(waits, name))
    budget.wait_for("a", "b", "c")
    pool.close()
    assert sorted(closed) == ["a", "b", "c"]
    assert "failed when it was closed" in caplog.text


def test_work_that_pauses_by_failures_continues_at_the_next_call():
    done = []

    def steps():
        for n in range(3):
            yield from insisting(partial(attempt, n))
        return done

    def attempt(n, tried=set()):  # noqa: B006 - kept on purpose
        if n not in tried:
            tried.add(n)
            raise SlackBusy(1)
        done.append(n)

    work = by_and_by(steps)
    for _ in range(3):
        with pytest.raises(SlackBusy):
            work()
    assert work() == [0, 1, 2]


def test_an_outbox_sends_in_the_order_of_a_channel():
    outbox, sent, done = Outbox(), [], threading.Event()

    def steps(n):
        yield from insisting(partial(sent.append, n))
        if len(sent) == 10:  # some run at the same time
            done.set()

    for n in range(10):
        outbox.put("A", steps(n))
    assert done.wait(SOON)
    outbox.close()
    assert sorted(sent) == list(range(10))
