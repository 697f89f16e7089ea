"""PURE: what a machine's console says of its boot and its engine: written by `bootstrap.sh`, read here.

A line that something is decided by bears the machine's mark. What an engine prints may be what its users wrote, and
none of them knows the mark.
"""

import hashlib
import hmac
import re
import signal
from contextlib import suppress
from datetime import UTC, datetime

from msgspec import Struct

from workers.machines import Token

STARTS_MOST = 3
"""So often in a row an engine may end early before its machine starts it no more."""

KILLED = 128
"""What a shell adds to the number of a signal."""

# Clouds put a clock and the name of whoever runs the user data before each line.
UNMARKED = re.compile(r"(?:^|[:\]] )mixtral: (?P<said>.*\S)")
MARK = re.compile(r"mixtral\[[0-9a-f]+\]:")
ENDED = r"(?P<what>.*) exited with status (?P<status>\d{1,3})"
AGAIN = re.compile(rf"{ENDED} at (?P<at>\d{{1,10}}) \(start (?P<start>\d{{1,6}})\), and is started again")
NO_MORE = re.compile(r"giving up: (?P<why>.*)")
TIMES = re.compile(rf"{ENDED}(?P<rest> at each .*)")


class Restarted(Struct, frozen=True, kw_only=True):
    """The engine has ended, and the machine starts it again."""

    start: int
    """The number of the start that ended; it grows as long as the machine lives."""
    at: datetime
    """By the machine's clock."""
    how: str
    """`the engine was killed by SIGKILL`."""


class Said(Struct, frozen=True, kw_only=True):
    """What a console said last."""

    progress: str = ""
    """What the machine is busy with, in a few words; nothing is decided by it."""
    restarted: Restarted | None = None
    gave_up: str = ""
    """Why the machine serves nothing and starts nothing any more; empty: it does."""


def mark_of(token: Token, key: str) -> str:
    """What the lines of one machine are known by; `key` is the replica's, which nobody else has."""
    return hmac.new(key.encode(), token.encode(), hashlib.sha256).hexdigest()[:12]


def read(console: str, mark: str) -> Said:
    """What the lines of a console come to, whatever an engine printed between them."""
    # Anywhere in a line: an engine may have left its last one unfinished.
    with_mark = re.compile(rf"mixtral\[{re.escape(mark)}\]: (?P<said>.*\S)")
    told, ours = "", []
    for printed in console.splitlines():
        if marked := with_mark.search(printed):
            told = marked["said"]
            ours.append(told)
        elif unmarked_ := UNMARKED.search(printed):
            told = unmarked_["said"]
    gave_up = NO_MORE.fullmatch(ours[-1]) if ours else None
    restarts = [match for said in ours if (match := AGAIN.fullmatch(said))]
    return Said(
        progress="" if gave_up else _progress(told),
        restarted=_restarted(restarts[-1]) if restarts else None,
        gave_up=_why(gave_up["why"]) if gave_up else "",
    )


def unmarked(console: str) -> str:
    """For people: whoever reads a mark could write it."""
    return MARK.sub("mixtral:", console)


def line(mark: str, said: str) -> str:
    """As `bootstrap.sh` says something; for machines that do without."""
    return f"mixtral[{mark}]: {said}\n"


def again(what: str, status: int, start: int, at: datetime) -> str:
    """As `bootstrap.sh` puts it; for machines that do without."""
    return f"{what} exited with status {status} at {at.timestamp():.0f} (start {start}), and is started again"


def no_more(what: str, status: int, times: int) -> str:
    """As `bootstrap.sh` puts it; for machines that do without."""
    return f"giving up: {what} exited with status {status} at each of its last {times} starts"


def _progress(said: str) -> str:
    between = AGAIN.fullmatch(said)
    return f"{_how(between)}; it is started again" if between else said


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
