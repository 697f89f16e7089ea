"""Reads the consoles of machines that do not answer, in threads that a later sweep collects."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.deployment.attempt import Attempt, Phase
from workers.deployment.boot_stages import is_news
from workers.deployment.events import EngineEnded, EngineProgressed
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.machines import Token
from workers.serving.console import Restarted, Said, mark_of, read

READ_EVERY = timedelta(seconds=15)

LINES = 5000
"""Number of lines read. More than an engine prints at a start, so that they include the reason of a restart."""

MAX_THREADS = 8
"""Maximum number of concurrent reads per cloud; a slow cloud does not delay the others."""

READ_IN = frozenset({Phase.STARTING, Phase.NOT_READY})
"""Phases in which consoles are read. The console of an engine that answers contains nothing to record."""

NOTICED_WITHIN = timedelta(minutes=10)
"""Maximum time from a restart to the first failed probe. After an older restart, the engine was ready again."""


class ConsoleHistory(Struct, kw_only=True):
    """State kept for a console between sweeps. If it is lost, the console is read once more."""

    due: datetime
    progress: str = ""


class Consoles:
    """Records the progress of a machine until its engine answers, and the ends of its engine."""

    def __init__(self, recorder: Recorder, log: Log, drivers: Mapping[str, Driver]) -> None:
        self._recorder = recorder
        self._log = log
        # A local machine ends with its engine, and its list contains the cause.
        self._drivers = {cloud: driver for cloud, driver in drivers.items() if cloud != "local"}
        self._histories: dict[Token, ConsoleHistory] = {}
        self._consoles = {cloud: Collector[Token, Said]("console", MAX_THREADS) for cloud in self._drivers}

    def ask(self) -> None:
        """Start to read each console that is due."""
        now = self._recorder.now()
        attempts = [(s, a) for s, a in self._recorder.attempts(READ_IN) if a.machine and a.offer.cloud in self._drivers]
        known = {a.request.token for _, a in attempts}
        self._histories = {token: history for token, history in self._histories.items() if token in known}
        for state, attempt in attempts:
            token, cloud = attempt.request.token, attempt.offer.cloud
            history = self._histories.setdefault(token, ConsoleHistory(due=now))
            if not timedelta() < history.due - now <= READ_EVERY:  # `due` is further away after a step of the clock
                mark = mark_of(token, self._log.secrets(state.id).replica)
                if self._consoles[cloud].ask(token, _read, self._drivers[cloud], attempt, mark):
                    history.due = now + READ_EVERY

    def collect(self, until: float) -> None:
        """Append what is new in the consoles that were read by `until` (monotonic seconds)."""
        for consoles in self._consoles.values():
            each(self._record, self._recorder.attempts(READ_IN), consoles.collect(until))

    def _record(self, state: Deployment, attempt: Attempt, said: Said) -> None:
        if said.gave_up:
            self._end(state, attempt, said.gave_up, start=attempt.engine_ends, again=False)
        elif said.restarted is not None and is_new(said.restarted, attempt):
            self._end(state, attempt, said.restarted.how, start=said.restarted.start, again=True)
        history = self._histories.get(attempt.request.token)
        if history is not None and attempt.phase is Phase.STARTING:
            self._progress(state, attempt, said, history)

    def _progress(self, state: Deployment, attempt: Attempt, said: Said, history: ConsoleHistory) -> None:
        """Append the current action of the machine and the progress of its boot, if either has changed."""
        advanced = is_news(attempt.boot, said.boot, self._recorder.now())
        changed = said.progress not in ("", history.progress)
        if not advanced and not changed:
            return
        progress = attempt.progress
        if changed or said.progress == "":
            progress = self._recorder.masked(state, said.progress)
            history.progress = said.progress
        if advanced or progress != attempt.progress:
            fact = EngineProgressed(
                **self._recorder.stamp(),
                attempt=attempt.number,
                progress=progress,
                boot=said.boot if advanced else None,
            )
            self._recorder.append(state, fact)

    def _end(self, state: Deployment, attempt: Attempt, how: str, *, start: int, again: bool) -> None:
        recorded = attempt.engine_end
        if recorded is not None and not recorded.again and not again:
            return
        masked = self._recorder.masked(state, how)
        stamp = self._recorder.stamp()
        self._recorder.append(state, EngineEnded(**stamp, attempt=attempt.number, how=masked, start=start, again=again))


def is_new(restarted: Restarted, attempt: Attempt) -> bool:
    """Whether the restart is not recorded yet, and is the cause of the present failure (NOTICED_WITHIN)."""
    silent_since = attempt.not_ready_at or attempt.intended_at
    return restarted.start > attempt.engine_ends and restarted.at > silent_since - NOTICED_WITHIN


def _read(driver: Driver, attempt: Attempt, mark: str) -> Said:
    return read(driver.log(attempt.request.token, LINES, attempt.whereabouts), mark)
