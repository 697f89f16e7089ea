"""Replaces the events of logs that have grown long by snapshots."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import MsgspecError

from workers.deployment.events import DeploymentId, Version
from workers.deployment.log import Log, new_event_id
from workers.deployment.snapshot import is_long, snapshot_of
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

UPDATED_WITHIN = timedelta(hours=1)
"""Time after the first look before which no log is shortened: processes of the version before snapshots cannot read
a shortened log, and a rolling update has replaced them by then.
"""

AGAIN_AFTER = timedelta(hours=1)
"""Time after which a log that could not be shortened is looked at again."""


class Shortening:
    """Part of the sweeper. At most one log per look, since a log of an earlier version may take seconds to read."""

    def __init__(self, log: Log, after: timedelta = UPDATED_WITHIN) -> None:
        self._log = log
        self._after = after
        self._began: datetime | None = None
        self._failed: dict[DeploymentId, datetime] = {}

    def look(self, states: Iterable[Deployment], now: datetime) -> None:
        """Raises RedisError."""
        self._began = self._began or now
        if abs(now - self._began) < self._after:
            return
        self._failed = {id_: at for id_, at in self._failed.items() if abs(now - at) < AGAIN_AFTER}
        due = next((state for state in states if is_long(state) and state.id not in self._failed), None)
        if due is not None:
            self._shorten(due, now)

    def _shorten(self, state: Deployment, now: datetime) -> None:
        """Replace the events by the state that the log itself leads to, not by the one in memory."""
        try:
            events = self._log.read(state.id)
            snapshot = snapshot_of(state.id, events, new_event_id(), now)
        except MsgspecError as error:
            snapshot = None
            logger.warning("the log of %s is not shortened: %s", state.name, error)
        if snapshot is None:
            self._failed[state.id] = now
        elif self._log.shorten(state.id, Version(snapshot.version - 1), snapshot):
            logger.info("%s: a snapshot has replaced %d events", state.name, len(events))
