"""Reads the consoles of machines that do not answer, in threads that a later sweep collects."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.events import EngineEnded, EngineProgressed
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.machines import Token
from workers.serving.console import Restarted, Said, mark_of, read

READ_EVERY = timedelta(seconds=15)

LINES = 5000
"""What an engine prints while it starts does not push out why it was started again; a console holds 64 KB to 1 MB."""

AT_ONCE = 8
"""Of one cloud: what is slow in one holds up no other."""

SILENT = frozenset({Phase.STARTING, Phase.NOT_READY})
"""Only these are read: an engine that answers has not given up, and is busy with nothing."""

NOTICED_WITHIN = timedelta(minutes=10)
"""A restart may be so much older than the moment when the silence was noticed: the worker may have been away. One that
is older was over before anybody noticed.
"""


class Heard(Struct, kw_only=True):
    """What is remembered of a console between sweeps; losing it costs a look."""

    due: datetime
    progress: str = ""


class Consoles:
    """Tells what a machine is busy with until its engine answers, and that its engine has ended."""

    def __init__(self, recorder: Recorder, log: Log, drivers: Mapping[str, Driver]) -> None:
        self._recorder = recorder
        self._log = log
        # A local machine ends with its engine, and says so itself.
        self._drivers = {cloud: driver for cloud, driver in drivers.items() if cloud != "local"}
        self._heard: dict[Token, Heard] = {}
        self._consoles = {cloud: Collector[Token, Said]("console", AT_ONCE) for cloud in self._drivers}

    def ask(self) -> None:
        """Have each console read that is due."""
        now = self._recorder.now()
        attempts = [(s, a) for s, a in self._recorder.attempts(SILENT) if a.machine and a.offer.cloud in self._drivers]
        known = {a.request.token for _, a in attempts}
        self._heard = {token: heard for token, heard in self._heard.items() if token in known}
        for state, attempt in attempts:
            token, cloud = attempt.request.token, attempt.offer.cloud
            heard = self._heard.setdefault(token, Heard(due=now))
            if now >= heard.due:
                mark = mark_of(token, self._log.secrets(state.id).replica)
                if self._consoles[cloud].ask(token, _read, self._drivers[cloud], token, mark):
                    heard.due = now + READ_EVERY

    def collect(self, until: float) -> None:
        """Append what the consoles told by `until` (monotonic seconds) that is new."""
        for consoles in self._consoles.values():
            each(self._tell, self._recorder.attempts(SILENT), consoles.collect(until))

    def _tell(self, state: Deployment, attempt: Attempt, said: Said) -> None:
        if said.gave_up:
            self._end(state, attempt, said.gave_up, start=attempt.engine_ends, again=False)
        elif said.restarted is not None and is_news(said.restarted, attempt):
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


def is_news(restarted: Restarted, attempt: Attempt) -> bool:
    """Whether it was not told yet, and is not one of long ago."""
    silent_since = attempt.not_ready_at or attempt.intended_at
    return restarted.start > attempt.engine_ends and restarted.at > silent_since - NOTICED_WITHIN


def _read(driver: Driver, token: Token, mark: str) -> Said:
    return read(driver.log(token, LINES), mark)
