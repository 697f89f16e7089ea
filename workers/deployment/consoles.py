"""Reads the consoles of machines that do not answer, in threads that a later sweep collects."""

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from msgspec import Struct

from workers.clouds.driver import Driver, Token
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.events import EngineEnded, EngineProgressed
from workers.deployment.recording import Recorder, each
from workers.deployment.state import Deployment
from workers.errors import WorkersError
from workers.serving.console import Restarted, Said, read

logger = logging.getLogger(__name__)

READ_EVERY = timedelta(seconds=15)

LINES = 5000
"""What an engine prints while it starts does not push out why it was started again; a console holds 64 KB to 1 MB."""

CLOCKS_DIFFER = timedelta(minutes=1)
"""So much a machine's clock and ours, and the moment when a silence was noticed."""

AT_ONCE = 8

SILENT = frozenset({Phase.STARTING, Phase.NOT_READY})
"""Only of these is a console believed: an engine that answers has not given up, whatever its prompts made it print."""


class Heard(Struct, kw_only=True):
    """What is remembered of a console between sweeps; losing it costs a look."""

    due: datetime
    progress: str = ""


class Consoles:
    """Tells what a machine is busy with until its engine answers, and that its engine has ended."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver]) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._heard: dict[Token, Heard] = {}
        self._readers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="console")
        self._reading: dict[Token, Future[Said]] = {}

    def ask(self) -> "list[Future[Said]]":
        """Have each console read that is due. Returns the calls under way."""
        now = self._recorder.now()
        attempts = [a for _, a in self._recorder.attempts(SILENT) if a.machine is not None]
        known = {a.request.token for a in attempts}
        self._heard = {token: heard for token, heard in self._heard.items() if token in known}
        for attempt in attempts:
            token, driver = attempt.request.token, self._drivers.get(attempt.offer.cloud)
            heard = self._heard.setdefault(token, Heard(due=now))
            if driver is not None and now >= heard.due and token not in self._reading:
                heard.due = now + READ_EVERY
                self._reading[token] = self._readers.submit(_read, driver, token)
        return list(self._reading.values())

    def collect(self) -> None:
        """Append what the consoles told that is new."""
        done = {token: self._reading.pop(token) for token, call in list(self._reading.items()) if call.done()}
        attempts = [(s, a) for s, a in self._recorder.attempts(SILENT) if a.request.token in done]
        each(lambda state, attempt: self._tell(state, attempt, done[attempt.request.token].result()), attempts)

    def _tell(self, state: Deployment, attempt: Attempt, said: Said) -> None:
        if said.gave_up:
            self._end(state, attempt, said.gave_up, start=attempt.engine_ends, again=False)
        elif said.restarted is not None and _is_news(said.restarted, attempt):
            self._end(state, attempt, said.restarted.how, start=said.restarted.start, again=True)
        heard = self._heard.get(attempt.request.token)
        if heard is None or said.progress in ("", heard.progress) or attempt.phase is not Phase.STARTING:
            return
        heard.progress = said.progress
        progress = self._recorder.masked(state, said.progress)
        if progress != attempt.progress:
            fact = EngineProgressed(**self._recorder.stamp(), attempt=attempt.number, progress=progress)
            self._recorder.append(state, fact)

    def _end(self, state: Deployment, attempt: Attempt, how: str, *, start: int, again: bool) -> None:
        told = attempt.engine_end
        if told is not None and not told.again and not again:
            return
        masked = self._recorder.masked(state, how)
        stamp = self._recorder.stamp()
        self._recorder.append(state, EngineEnded(**stamp, attempt=attempt.number, how=masked, start=start, again=again))


def _is_news(restarted: Restarted, attempt: Attempt) -> bool:
    """Not told yet, and no restart of long ago: that one was over before anybody noticed."""
    silent_since = attempt.not_ready_at or attempt.intended_at
    return restarted.start > attempt.engine_ends and restarted.at > silent_since - CLOCKS_DIFFER


def _read(driver: Driver, token: Token) -> Said:
    try:
        return read(driver.log(token, LINES))
    except WorkersError as error:
        logger.info("the console of %s cannot be read: %s", token, error)
        return Said()
