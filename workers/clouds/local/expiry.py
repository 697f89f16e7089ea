"""PURE: whether a local machine has expired."""

from datetime import datetime


class Expiry:
    """Armed when it is first read and whenever it changes, because the host's clock may jump in between.

    The sweeper extends it by the same clock, so a machine that can be extended outlives a jump of any length. One that
    cannot still ends: time since boot goes on, except while the host sleeps.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._ends_at: float | None = None

    def has_passed(self, moved_to: datetime | None, now: datetime, up: float) -> bool:
        """Whether it has. `moved_to`: the expiry if it was ever extended. `up`: monotonic seconds."""
        if self._ends_at is None or moved_to not in (None, self.at):
            self.at = moved_to or self.at
            self._ends_at = up + (self.at - now).total_seconds()
        return up >= self._ends_at
