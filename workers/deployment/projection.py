"""The newest state of every deployment that has not ended, kept up to date from the feed."""

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import MsgspecError, Struct

from workers.deployment.events import DeploymentId
from workers.deployment.log import START, Log
from workers.deployment.log_reader import Entry, LogReader, decoded
from workers.deployment.state import Deployment, fold

logger = logging.getLogger(__name__)

CHECKED_EVERY = timedelta(minutes=1)
"""Interval between two comparisons with the logs: a rollback of Redis leaves no entry in the feed."""


class Folded(Struct, frozen=True):
    """A state, and the last entry that was folded into it. No two entries have the same bytes."""

    state: Deployment
    last: Entry


class Projection:
    """Reads only new entries; drops an ended deployment at the next check. Safe to use from several threads.

    After `refresh`, `states` includes all events that any process had appended before.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._tails = LogReader(log)
        self._lock = threading.Lock()
        self._position = ""
        self._checked_at: datetime | None = None
        self._known: dict[DeploymentId, Folded] = {}
        self._reported: set[DeploymentId] = set()
        """Deployments whose unreadable logs were logged since the last comparison."""
        self.states: dict[DeploymentId, Deployment] = {}

    def refresh(self, now: datetime) -> None:
        with self._lock:
            if self._checked_at is None or abs(now - self._checked_at) >= CHECKED_EVERY:
                self._check()
                self._checked_at = now
            else:
                position, changed = self._tails.changed(self._position)
                self._read(changed)
                self._position = position  # last, so that an error before it repeats the read

    def newest(self, deployment: DeploymentId) -> Deployment | None:
        """The state of its log now, ended or not; None if there is no log. Raises UnreadableLog.

        Only entries after the known ones are read. No other thread is waited for.
        """
        known = self._known.get(deployment)
        if known is not None:
            with suppress(MsgspecError):
                for _, entries in self._tails.read({deployment: known.last.version}):
                    if entries and entries[0] == known.last:
                        return fold(deployment, [decoded(entry) for entry in entries[1:]], onto=known.state)
        return fold(deployment, self._log.read(deployment))

    def read(self, deployments: Iterable[DeploymentId]) -> None:
        """Update these deployments from their logs, without the feed."""
        with self._lock:
            self._read(deployments)

    def _check(self) -> None:
        """Compare the newest entry of each log with the stored one, and read the logs that differ."""
        self._reported.clear()
        for state in self.states.values():
            self._report_newer(state)
        position = self._log.feed_end()
        there = set(self._log.names().values())
        for gone in self._known.keys() - there:
            self._drop(gone)
        ends = self._tails.last(there)
        self._read([id_ for id_ in there if id_ not in self._known or self._known[id_].last != ends.get(id_)])
        self._position = position

    def _read(self, deployments: Iterable[DeploymentId]) -> None:
        # Start at the last known entry: if it has changed, the log was rewritten.
        after = {id_: self._known[id_].last.version if id_ in self._known else START for id_ in deployments}
        rewritten = []
        for id_, entries in self._tails.read(after):
            known = self._known.get(id_)
            if known is None:
                self._fold(id_, None, entries)
            elif entries and entries[0] == known.last:
                self._fold(id_, known, entries[1:])
            else:
                rewritten.append(id_)
        for id_, entries in self._tails.read(dict.fromkeys(rewritten, START)):
            self._fold(id_, None, entries)

    def _fold(self, deployment: DeploymentId, known: Folded | None, entries: list[Entry]) -> None:
        if known and not entries:
            return
        try:
            events = [decoded(entry) for entry in entries]
            state = fold(deployment, events, onto=known.state if known else None)
        except MsgspecError as error:  # a damaged log must not prevent reading the others
            self._report_unreadable(deployment, str(error))
            self._drop(deployment)
            return
        if state is None:
            if events:
                self._report_unreadable(deployment, f"its first event is {type(events[0]).__name__}")
            self._drop(deployment)
            return
        self._known[deployment] = Folded(state, entries[-1])
        self.states[deployment] = state
        self._report_newer(state)

    def _report_unreadable(self, deployment: DeploymentId, why: str) -> None:
        if deployment not in self._reported:
            self._reported.add(deployment)
            logger.error("the log of %s cannot be read, and the deployment is left out: %s", deployment, why)

    def _report_newer(self, state: Deployment) -> None:
        if state.newer and state.id not in self._reported:
            self._reported.add(state.id)
            logger.warning(
                "%s (%s): a newer version of mixtral-bot wrote %s. Nothing is decided here; leases are extended.",
                *(state.name, state.id, state.newer),
            )

    def _drop(self, deployment: DeploymentId) -> None:
        self._known.pop(deployment, None)
        self.states.pop(deployment, None)
