"""PURE: what a machine's console says of its boot and its engine: written by `bootstrap.sh`, read here."""

import re

from msgspec import Struct

STARTS_MOST = 3
"""So often in a row an engine may end early before its machine starts it no more."""

# Clouds put a clock and the name of whoever runs the user data before each line.
LINE = re.compile(r"(?:^|[:\]] )mixtral: (?P<said>.*\S)")
AGAIN = re.compile(r"(?P<how>.* exited with status \d+) \(start (?P<start>\d+)\), and is started again")
NO_MORE = re.compile(r"giving up: (?P<why>.*)")


class Restarted(Struct, frozen=True, kw_only=True):
    """The engine has ended, and the machine starts it again."""

    start: int
    """The number of the start that ended; it grows as long as the machine lives."""
    how: str
    """`vllm exited with status 137`."""


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
    return Said(
        progress="" if gave_up else told[-1],
        restarted=Restarted(start=int(restarts[-1]["start"]), how=restarts[-1]["how"]) if restarts else None,
        gave_up=gave_up["why"] if gave_up else "",
    )


def again(what: str, status: int, start: int) -> str:
    """As `bootstrap.sh` says it; for machines that do without."""
    return f"{what} exited with status {status} (start {start}), and is started again"


def no_more(what: str, status: int, times: int) -> str:
    """As `bootstrap.sh` says it; for machines that do without."""
    return f"giving up: {what} exited with status {status}, {times} times in a row"
