"""Sets the status of a thread in Slack: processing while a question is answered, active afterwards."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from redis.exceptions import RedisError

from bot.slack.calls import SlackCalls
from bot.slack.failures import SlackBusy, SlackFailed, SlackRefused
from bot.slack.slack_steps import Steps, insisting

_LOG = logging.getLogger(__name__)

THINKING = "is thinking…"


class Sessions:
    """Safe to use from several threads. Beginnings are shown one after another, in the order of the questions."""

    def __init__(self, slack: SlackCalls) -> None:
        self._slack = slack
        self._line = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._lock = threading.Lock()
        self._beginnings: defaultdict[tuple[str, str], set[Future[None]]] = defaultdict(set)
        """By channel and thread, until they are over: another process may end the session."""

    def close(self) -> None:
        self._line.shutdown(wait=False, cancel_futures=True)

    def begin(self, channel: str, thread: str) -> None:
        """Show that the question is being answered. Returns immediately. A failure does not affect the answer."""

        def attempt() -> None:
            try:
                self._set(channel, thread, "processing", THINKING)
            except (SlackFailed, RedisError) as failed:
                _LOG.info("The status of a thread could not be set: %s", failed)

        beginning = self._line.submit(attempt)
        with self._lock:
            self._beginnings[channel, thread].add(beginning)
        beginning.add_done_callback(partial(self._is_over, (channel, thread)))

    def _is_over(self, thread: tuple[str, str], beginning: Future[None]) -> None:
        with self._lock:
            if thread in self._beginnings:
                self._beginnings[thread].discard(beginning)
                if not self._beginnings[thread]:
                    del self._beginnings[thread]

    def end(self, channel: str, thread: str) -> Steps[None]:
        """Show that nothing is being answered. Steps, which raise SlackBusy, SlackAway, RedisError.

        The calls of other threads are not waited for: Slack may take seconds for each of them.
        """
        with self._lock:
            beginnings = self._beginnings.pop((channel, thread), set())
        wait([each for each in beginnings if not each.cancel()])
        yield from insisting(partial(self._set, channel, thread, "active", ""))

    def _set(self, channel: str, thread: str, status: str, words: str) -> None:
        """Set the session's status or, if that is refused or its budget is exhausted, the line below the thread.

        Each of them begins and ends a session. If both are refused, nothing is set.
        """
        busy: SlackBusy | None = None
        ways: tuple[tuple[str, Callable[[], None]], ...] = (
            ("agents.sessions.setStatus", lambda: self._slack.set_session(channel, thread, status)),
            ("assistant.threads.setStatus", lambda: self._slack.set_status(channel, thread, words)),
        )
        for method, call in ways:
            if not self._slack.has(method, channel):
                continue
            try:
                call()
            except SlackRefused as refused:
                _LOG.info("%s: %s", method, refused)
            except SlackBusy as failed:
                busy = failed
            else:
                return
        if busy is not None:
            raise busy
