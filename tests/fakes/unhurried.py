"""Sweeps that wait for all answers: what a sweep has seen must not depend on how busy this computer is."""

import pytest

WAITS = (
    "workers.control.sweeper.ANSWERED_WITHIN",
    "workers.control.machine_ends.ANSWERED_WITHIN",
    "workers.control.reaping.ENDED_WITHIN",
)
"""How long a sweep waits for answers, in seconds of the real clock. A later sweep has those that are late."""

LONG = 30.0
"""Seconds. The calls of fakes return at once."""


def unhurried(monkeypatch: pytest.MonkeyPatch, seconds: float = LONG) -> None:
    """Let each sweep have the answers to what it asked, as on a computer that does nothing else."""
    for wait in WAITS:
        monkeypatch.setattr(wait, seconds)
