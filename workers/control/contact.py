"""Records what a cloud does not let the control loop do with a machine, and when it can be done again."""

from collections.abc import Container
from datetime import datetime, timedelta

from workers.control.recording import Recorder
from workers.deployment.attempt import Attempt, lost
from workers.deployment.events import Control, ControlLost, ControlRegained
from workers.deployment.state import Deployment
from workers.machines import Token

LOST_AFTER = timedelta(seconds=30)
"""Time of uninterrupted failures after which control counts as lost. Single calls often fail."""


class Contact:
    """One kind of control over all machines. After a restart, LOST_AFTER starts again."""

    def __init__(self, recorder: Recorder, what: Control) -> None:
        self._recorder = recorder
        self._what = what
        self._since: dict[Token, datetime] = {}

    def retain(self, tokens: Container[Token]) -> None:
        """Forget all other machines."""
        self._since = {token: since for token, since in self._since.items() if token in tokens}

    def failed(self, state: Deployment, attempt: Attempt, why: str) -> None:
        now, recorder = self._recorder.now(), self._recorder
        since = self._since.setdefault(attempt.request.token, now)
        if now - since >= LOST_AFTER and not lost(attempt, self._what):
            words = recorder.masked(state, why)
            stamp, number = recorder.stamp(), attempt.number
            recorder.append(state, ControlLost(**stamp, attempt=number, what=self._what, since=since, why=words))

    def answered(self, attempt: Attempt) -> None:
        """Start LOST_AFTER again at the next failure."""
        self._since.pop(attempt.request.token, None)

    def worked(self, state: Deployment, attempt: Attempt) -> None:
        self.answered(attempt)
        if lost(attempt, self._what):
            fact = ControlRegained(**self._recorder.stamp(), attempt=attempt.number, what=self._what)
            self._recorder.append(state, fact)
