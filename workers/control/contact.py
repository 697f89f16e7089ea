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

REGAINED_AFTER = timedelta(minutes=5)
"""Time of uninterrupted answers after which it counts as regained. A place that fails again and again for a day must
fill neither the log nor the thread.
"""


class Contact:
    """One kind of control over all machines. After a restart, LOST_AFTER and REGAINED_AFTER start again."""

    def __init__(self, recorder: Recorder, what: Control) -> None:
        self._recorder = recorder
        self._what = what
        self._since: dict[Token, datetime] = {}
        """When it began to fail."""
        self._works_since: dict[Token, datetime] = {}
        """When it began to work again, if it is lost."""

    def retain(self, tokens: Container[Token]) -> None:
        """Forget all other machines."""
        self._since = {token: since for token, since in self._since.items() if token in tokens}
        self._works_since = {token: since for token, since in self._works_since.items() if token in tokens}

    def failed(self, state: Deployment, attempt: Attempt, why: str) -> None:
        recorder, token = self._recorder, attempt.request.token
        self._works_since.pop(token, None)
        now, since = _begun(self._since, token, recorder.now())
        if now - since >= LOST_AFTER and not lost(attempt, self._what):
            words = recorder.masked(state, why)
            stamp, number = recorder.stamp(), attempt.number
            recorder.append(state, ControlLost(**stamp, attempt=number, what=self._what, since=since, why=words))

    def answered(self, attempt: Attempt) -> None:
        """Start LOST_AFTER again at the next failure."""
        self._since.pop(attempt.request.token, None)

    def worked(self, state: Deployment, attempt: Attempt) -> None:
        self.answered(attempt)
        if not lost(attempt, self._what):
            return
        now, since = _begun(self._works_since, attempt.request.token, self._recorder.now())
        if now - since >= REGAINED_AFTER:
            fact = ControlRegained(**self._recorder.stamp(), attempt=attempt.number, what=self._what)
            self._recorder.append(state, fact)


def _begun(times: dict[Token, datetime], token: Token, now: datetime) -> tuple[datetime, datetime]:
    """The current time, and the start of the failures or answers in a row. The clock may have been set back."""
    times[token] = min(times.get(token, now), now)
    return now, times[token]
