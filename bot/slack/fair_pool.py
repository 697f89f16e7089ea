"""A bounded number of threads that run steps of many jobs. A job that waits for Slack holds no thread."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from msgspec import Struct

from bot.slack.fair_share import BudgetLine, Line, Ticket, may_begin
from bot.slack.slack_steps import SlackPause, Steps

_LOG = logging.getLogger(__name__)


class Job(Struct, eq=False, order=False):
    """Steps that are run once. `key` identifies the job, `channel` is where the person waits."""

    key: str
    channel: str
    ticket: Ticket
    steps: Steps[None]
    waits_for: str = ""
    """The line in which the job waits, or in whose turn it tries; empty if none."""
    waits_in: str = ""
    """The channel of that line."""
    is_running: bool = False


class FairPool:
    """Safe to use from several threads. The channels take turns at the threads, and at each budget of Slack."""

    def __init__(self, at_once: int, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once, self._clock = at_once, clock
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._arrived: Line[Job] = Line()
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, BudgetLine[Job]] = {}
        self._is_closed = False
        self._scheduler = threading.Thread(target=self._schedule, name=f"{name} turns", daemon=True)
        self._scheduler.start()

    def has(self, key: str) -> bool:
        """Return whether a job with this key waits or runs."""
        return key in self._jobs

    def submit(self, key: str, channel: str, ticket: Ticket, steps: Callable[[], Steps[None]]) -> bool:
        """Run the steps when it is the channel's turn. False, without an effect, if there is a job with this key."""
        with self._changed:
            if self._is_closed or key in self._jobs:
                return False
            job = self._jobs[key] = Job(key, channel, ticket, steps())
            self._arrived.add(channel, ticket, job)
            self._start_what_may()
        return True

    def hasten(self, keys: Iterable[str]) -> None:
        """Let jobs that wait for Slack try at once, out of their turn: they are no longer wanted."""
        with self._changed:
            for key in keys:
                job = self._jobs.get(key)
                if job is None or job.is_running or not (line := self._waiting.get(job.waits_for)):
                    continue
                line.line.remove(job.waits_in, job)
                self._forget_if_empty(job.waits_for)
                self._wait_in(_alone(job), job, until=self._clock())
            self._changed.notify_all()

    def close(self, *, wait: bool = True) -> None:
        """End: jobs that wait are closed. `wait`: for those that run."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._threads.shutdown(wait=wait, cancel_futures=True)
        self._scheduler.join()
        for job in list(self._jobs.values()):
            try:
                job.steps.close()
            except ValueError:
                _LOG.debug("The job %s is still running.", job.key)
            except Exception:  # noqa: BLE001 - the others are closed
                _LOG.exception("The job %s failed when it was closed.", job.key)

    def _schedule(self) -> None:
        with self._changed:
            while not self._is_closed:
                self._start_what_may()
                due = min((due for line in self._waiting.values() if (due := line.due()) is not None), default=None)
                if not self._has_room():  # the next job that ends or pauses starts the others
                    due = None
                self._changed.wait(None if due is None else max(due - self._clock(), 0.001))

    def _start_what_may(self) -> None:
        """Those who wait for a budget come first: their answers are complete, and what they do takes little time."""
        if self._is_closed:
            return
        now = self._clock()
        for line in list(self._waiting.values()):
            due = line.due()
            if due is None or due > now:
                continue
            if not self._has_room():
                return
            if (job := line.line.take()) is not None:
                line.is_tried = True
                self._start(job)
        while self._has_room():
            job = self._arrived.take(lambda channel: may_begin(channel, self._running, self._at_once))
            if job is None:
                return
            self._start(job)

    def _has_room(self) -> bool:
        return self._running.total() < self._at_once

    def _start(self, job: Job) -> None:
        self._running[job.channel] += 1
        job.is_running = True
        with suppress(RuntimeError):  # no thread can be started now; the job is in line for those that run
            self._threads.submit(self._run, job)

    def _run(self, job: Job) -> None:
        pause: SlackPause | None = None
        is_over = False
        try:
            while not is_over and pause is None:
                try:
                    pause = next(job.steps)
                except StopIteration:
                    is_over = True
                if pause is None and job.waits_for:
                    self._pass(job)  # its call was accepted: the next one may try
        except Exception:  # noqa: BLE001 - the thread goes on with other jobs
            _LOG.exception("The job %s failed.", job.key)
            is_over = True
        finally:
            with self._changed:
                job.is_running = False
                self._running[job.channel] -= 1
                if not self._running[job.channel]:
                    del self._running[job.channel]
                if pause is not None and not self._is_closed:
                    self._pause(job, pause)
                elif is_over:
                    self._leave(job)
                    del self._jobs[job.key]
                self._start_what_may()
                self._changed.notify_all()

    def _pass(self, job: Job) -> None:
        with self._changed:
            self._leave(job)
            self._start_what_may()
            self._changed.notify_all()

    def _pause(self, job: Job, pause: SlackPause) -> None:
        name, before = pause.budget or _alone(job), job.waits_for
        if before != name:
            self._leave(job)
        self._wait_in(
            name, job, until=self._clock() + pause.wait.total_seconds(), channel=pause.channel, again=before == name
        )

    def _wait_in(self, name: str, job: Job, *, until: float, channel: str = "", again: bool = False) -> None:
        line = self._waiting.setdefault(name, BudgetLine())
        if again:
            line.is_tried = False
        line.closed_until = until
        job.waits_for, job.waits_in = name, channel or job.channel
        line.line.add(job.waits_in, job.ticket, job, keeps_turn=again)

    def _leave(self, job: Job) -> None:
        """The job neither tries nor waits any more in its line."""
        if line := self._waiting.get(job.waits_for):
            line.is_tried = False
            self._forget_if_empty(job.waits_for)
        job.waits_for = job.waits_in = ""

    def _forget_if_empty(self, name: str) -> None:
        line = self._waiting.get(name)
        if line is not None and not len(line.line) and not line.is_tried:
            del self._waiting[name]


def _alone(job: Job) -> str:
    """The line of a job that waits for no budget: it is alone there."""
    return f"job:{job.key}"
