"""PURE: what a machine's console says of its boot and its engine: written by `bootstrap.sh`, read here."""

import re
import signal
from contextlib import suppress
from datetime import UTC, datetime

from msgspec import Struct

STARTS_MOST = 3
"""So often in a row an engine may end early before its machine starts it no more."""

KILLED = 128
"""What a shell adds to the number of a signal."""

# Clouds put a clock and the name of whoever runs the user data before each line.
LINE = re.compile(r"(?:^|[:\]] )mixtral: (?P<said>.*\S)")
ENDED = r"(?P<what>.*) exited with status (?P<status>\d+)"
AGAIN = re.compile(rf"{ENDED} at (?P<at>\d{{1,10}}) \(start (?P<start>\d+)\), and is started again")
NO_MORE = re.compile(r"giving up: (?P<why>.*)")
TIMES = re.compile(rf"{ENDED}(?P<rest> at each .*)")


class Restarted(Struct, frozen=True, kw_only=True):
    """The engine has ended, and the machine starts it again."""

    start: int
    """The number of the start that ended; it grows as long as the machine lives."""
    at: datetime
    how: str
    """`the engine was killed by SIGKILL`."""


class Said(Struct, frozen=True, kw_only=True):
    """What a console said last."""

    progress: str = ""
    """What the machine is busy with, in a few words."""
    restarted: Restarted | None = None
    gave_up: str = ""
    """Why the machine serves nothing and starts nothing any more; empty: it does."""


def read(console: str) -> Said:
    """What the lines of a console come to, whatever an engine printed between them."""
    told = [match["said"] for line in console.splitlines() if (match := LINE.search(line))]
    if not told:
        return Said()
    gave_up = NO_MORE.fullmatch(told[-1])
    restarts = [match for said in told if (match := AGAIN.fullmatch(said))]
    between = AGAIN.fullmatch(told[-1])
    return Said(
        progress="" if gave_up else f"{_how(between)}; it is started again" if between else told[-1],
        restarted=_restarted(restarts[-1]) if restarts else None,
        gave_up=_why(gave_up["why"]) if gave_up else "",
    )


def _restarted(match: re.Match[str]) -> Restarted:
    at = datetime.fromtimestamp(int(match["at"]), UTC)
    return Restarted(start=int(match["start"]), at=at, how=_how(match))


def _why(said: str) -> str:
    match = TIMES.fullmatch(said)
    return f"{_how(match)}{match['rest']}" if match else said


def _how(match: re.Match[str]) -> str:
    """A shell's status in words."""
    status = int(match["status"])
    with suppress(ValueError):
        if status > KILLED:
            return f"{match['what']} was killed by {signal.Signals(status - KILLED).name}"
    return f"{match['what']} exited with status {status}"


def again(what: str, status: int, start: int, at: datetime) -> str:
    """As `bootstrap.sh` says it; for machines that do without."""
    return f"{what} exited with status {status} at {at.timestamp():.0f} (start {start}), and is started again"


def no_more(what: str, status: int, times: int) -> str:
    """As `bootstrap.sh` says it; for machines that do without."""
    return f"giving up: {what} exited with status {status} at each of its last {times} starts"
