"""The newest state of every deployment that has not ended, kept up to date from the feed."""

import logging
from datetime import datetime, timedelta

from msgspec import MsgspecError

from workers.deployment.events import DeploymentId
from workers.deployment.log import Log
from workers.deployment.state import Deployment, fold

logger = logging.getLogger(__name__)

REBUILT_EVERY = timedelta(minutes=1)
"""A Redis that was emptied or rolled back sends no feed about it."""

NO_WAIT = timedelta()


class Projection:
    """Reads only what is new; a deployment that ended is left out at the next rebuild."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._position = ""
        self._rebuilt_at: datetime | None = None
        self.states: dict[DeploymentId, Deployment] = {}

    def refresh(self, now: datetime) -> None:
        """Bring `states` up to date."""
        if self._rebuilt_at is None or now - self._rebuilt_at >= REBUILT_EVERY:
            self._rebuild(now)
            return
        changed = dict.fromkeys(self._follow())
        for deployment in changed:
            self._update(deployment)

    def _rebuild(self, now: datetime) -> None:
        self._position = self._log.feed_end()
        self._rebuilt_at = now
        self.states = {}
        for deployment in self._log.names().values():
            self._update(deployment)

    def _follow(self) -> list[DeploymentId]:
        found = []
        for position, deployment in self._log.follow(self._position, NO_WAIT):
            self._position = position
            found.append(deployment)
        return found

    def _update(self, deployment: DeploymentId) -> None:
        known = self.states.get(deployment)
        try:
            events = self._log.read(deployment, after=known.version) if known else self._log.read(deployment)
        except MsgspecError:  # one that this version cannot read must not keep it from the others
            logger.exception("the log of %s cannot be read; it is left alone", deployment)
            return
        if state := fold(deployment, events, onto=known):
            self.states[deployment] = state
