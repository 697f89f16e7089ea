"""PURE: the phases of a machine's boot, folded from its reports."""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from workers.machines import BootPhase, BootReport

ORDER = tuple(BootPhase)

REPORTED_EVERY = timedelta(seconds=10)
"""Minimum time between two reports of the same phase that the log keeps."""

UNCOUNTED_STEP = 10**9
"""Bytes by which a report of an unknown total has to grow until the log keeps it."""


class Stage(Struct, frozen=True, kw_only=True):
    """One phase of a boot."""

    phase: BootPhase
    since: datetime
    reported_at: datetime
    moved_at: datetime
    """When the number of bytes last grew; the phase's start if it never did."""
    done: int = 0
    total: int = 0

    @property
    def percent(self) -> int | None:
        """Whole percent that are done; None if the machine does not tell."""
        return percent(self.done, self.total)


def percent(done: int, total: int) -> int | None:
    return min(100 * done // total, 100) if total > 0 else None


def reported(stages: tuple[Stage, ...], report: BootReport | None, at: datetime) -> tuple[Stage, ...]:
    """The stages after a report. An earlier phase, as after a reboot, does not begin again: each has one limit."""
    if report is None:
        return stages
    last = stages[-1] if stages else None
    if last is None or ORDER.index(report.phase) > ORDER.index(last.phase):
        begun = Stage(phase=report.phase, since=at, reported_at=at, moved_at=at, done=report.done, total=report.total)
        return (*stages, begun)
    if report.phase is not last.phase:
        return stages
    moved_at = at if report.done > last.done else last.moved_at
    return (*stages[:-1], replace(last, reported_at=at, moved_at=moved_at, done=report.done, total=report.total))


def is_news(stages: tuple[Stage, ...], report: BootReport | None, now: datetime) -> bool:
    """Whether a report is worth an event: a later phase, or another whole percent after REPORTED_EVERY."""
    if report is None:
        return False
    last = stages[-1] if stages else None
    if last is None or ORDER.index(report.phase) > ORDER.index(last.phase):
        return True
    if report.phase is not last.phase or now < last.reported_at + REPORTED_EVERY:
        return False
    if report.total <= 0:
        return abs(report.done - last.done) >= UNCOUNTED_STEP
    return percent(report.done, report.total) != last.percent
