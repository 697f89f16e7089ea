"""The deployments that ended recently, each in its last state."""

import threading
from datetime import datetime

from msgspec import MsgspecError
from msgspec.structs import replace

from workers.deployment.events import DeploymentId
from workers.deployment.log import START, Log
from workers.deployment.log_reader import Entry, LogReader, decoded
from workers.deployment.state import Deployment, fold


class Past:
    """Reads only the logs that have changed. Safe to use from several threads."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reader = LogReader(log)
        self._lock = threading.Lock()
        self._known: dict[DeploymentId, tuple[Entry, Deployment]] = {}

    def since(self, at: datetime, most: int) -> list[Deployment]:
        """The last `most` deployments that ended after `at`, newest first; without their ladders, which are large.

        Those whose logs cannot be read are left out.
        """
        with self._lock:
            ids = self._log.ended(at, most)
            self._known = {id_: found for id_ in ids if (found := self._known.get(id_)) is not None}
            ends = self._reader.last(ids)
            self._read([id_ for id_ in ids if id_ in ends and self._last(id_) != ends[id_]])
            return [self._known[id_][1] for id_ in ids if id_ in self._known]

    def _last(self, deployment: DeploymentId) -> Entry | None:
        return self._known[deployment][0] if deployment in self._known else None

    def _read(self, deployments: list[DeploymentId]) -> None:
        for id_, entries in self._reader.read(dict.fromkeys(deployments, START)):
            self._known.pop(id_, None)
            if (state := _folded(id_, entries)) is not None:
                self._known[id_] = entries[-1], replace(state, rungs=())


def _folded(deployment: DeploymentId, entries: list[Entry]) -> Deployment | None:
    """The state; None if the log cannot be read."""
    try:
        return fold(deployment, [decoded(entry) for entry in entries])
    except MsgspecError:
        return None
