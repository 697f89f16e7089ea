"""PURE: the phases of a machine's boot, folded from its reports."""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from workers.machines import BootPhase, BootReport

REPORTED_EVERY = timedelta(seconds=10)
"""Minimum time between two reports of the same phase that the log keeps."""

UNCOUNTED_STEP = 10**9
"""Minimum growth between two reports that the log keeps if the total is unknown, in bytes."""


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
        """Whole percent that are done; None if the total is not known."""
        return min(100 * self.done // self.total, 100) if self.total > 0 else None


def reported(stages: tuple[Stage, ...], report: BootReport | None, at: datetime) -> tuple[Stage, ...]:
    """The stages after a report. A phase that a reboot repeats does not begin again: each has one limit."""
    if report is None:
        return stages
    if _begins(stages, report):
        begun = Stage(phase=report.phase, since=at, reported_at=at, moved_at=at, done=report.done, total=report.total)
        return (*stages, begun)
    last = stages[-1]
    if report.phase is not last.phase:
        return stages
    # An engine that is started again counts from 0: weights that were there before are no progress.
    done = max(report.done, last.done) if last.phase is BootPhase.LOADING else report.done
    moved_at = at if done > last.done else last.moved_at
    return (*stages[:-1], replace(last, reported_at=at, moved_at=moved_at, done=done, total=report.total))


def set_back(stages: tuple[Stage, ...], at: datetime) -> tuple[Stage, ...]:
    """The stages without times that are later than `at`: the clock was set back, and their waits begin again."""
    return tuple(
        replace(s, since=min(s.since, at), reported_at=min(s.reported_at, at), moved_at=min(s.moved_at, at))
        for s in stages
    )


def is_news(stages: tuple[Stage, ...], report: BootReport | None, now: datetime) -> bool:
    """Whether a report is appended to the log: a new phase, or another whole percent after REPORTED_EVERY."""
    if report is None:
        return False
    if _begins(stages, report):
        return True
    last = stages[-1]
    if report.phase is not last.phase or now < last.reported_at + REPORTED_EVERY:
        return False
    after = reported(stages, report, now)[-1]
    if after.percent is None:
        return abs(after.done - last.done) >= UNCOUNTED_STEP
    return after.percent != last.percent


def _begins(stages: tuple[Stage, ...], report: BootReport) -> bool:
    """Whether a report begins a phase. Nothing begins after the engine's start: a restarted machine keeps its delay."""
    return all(stage.phase not in (report.phase, BootPhase.LOADING) for stage in stages)
