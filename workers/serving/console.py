"""PURE: parses a machine's console lines about its boot and engine, as `bootstrap.sh` writes them.

Lines on which decisions are based contain the machine's mark. An engine may print text of its users, who do not have
the mark.
"""

import hashlib
import hmac
import re
import signal
from contextlib import suppress
from datetime import UTC, datetime

from msgspec import Struct

from workers.machines import BootPhase, BootReport, Token

MAX_STARTS = 3
"""Number of consecutive early ends after which a machine does not start its engine again."""

KILLED = 128
"""A shell's exit status for a process ended by a signal is this plus the signal's number."""

# Clouds put a time and the name of the process that runs the user data before each line.
UNMARKED = re.compile(r"(?:^|[:\]] )mixtral: (?P<text>.*\S)")
MARK = re.compile(r"mixtral\[[0-9a-f]+\]:")
ENDED = r"(?P<what>.*) exited with status (?P<status>\d{1,3})"
AGAIN = re.compile(rf"{ENDED} at (?P<at>\d{{1,10}}) \(start (?P<start>\d{{1,6}})\), and is started again")
PHASE = re.compile(rf"phase (?P<phase>{'|'.join(BootPhase)})")
PROGRESS = re.compile(rf"progress (?P<phase>{'|'.join(BootPhase)}) (?P<done>\d{{1,18}}) (?P<total>\d{{1,18}})")
NO_MORE = re.compile(r"giving up: (?P<why>.*)")
TIMES = re.compile(rf"{ENDED}(?P<rest> at each .*)")


class Restarted(Struct, frozen=True, kw_only=True):
    """A restart of the engine by its machine."""

    start: int
    """Number of the run that ended, counted from the machine's creation."""
    at: datetime
    """When the run ended, by the machine's clock."""
    how: str
    """`the engine was killed by SIGKILL`."""


class Said(Struct, frozen=True, kw_only=True):
    """The newest information in a console."""

    progress: str = ""
    """What the machine is doing, for people. Not used for decisions."""
    boot: BootReport | None = None
    """The newest phase of its boot; None if the machine has reported none."""
    restarted: Restarted | None = None
    gave_up: str = ""
    """Why the machine has stopped starting its engine; empty if it has not."""


def mark_of(token: Token, key: str) -> str:
    """The mark in the console lines of one machine, derived from the token and the replica's secret `key`."""
    return hmac.new(key.encode(), token.encode(), hashlib.sha256).hexdigest()[:12]


def read(console: str, mark: str) -> Said:
    """Parse a console. Lines of the engine between those of `bootstrap.sh` are ignored."""
    # Searched anywhere in a line, because the engine's last line may have no newline.
    with_mark = re.compile(rf"mixtral\[{re.escape(mark)}\]: (?P<text>.*\S)")
    newest, ours = "", []
    boot: BootReport | None = None
    for printed in console.splitlines():
        if marked := with_mark.search(printed):
            reported = _boot(marked["text"])
            if reported is not None:
                newest = newest if boot is not None and boot.phase is reported.phase else ""
                boot = reported
                if PROGRESS.fullmatch(marked["text"]):
                    continue  # written in parallel to the output: it does not mean that the machine goes on
            else:
                newest = marked["text"]
            ours.append(marked["text"])
        elif unmarked_ := UNMARKED.search(printed):
            newest = unmarked_["text"]
    gave_up = NO_MORE.fullmatch(ours[-1]) if ours else None
    restarts = [match for text in ours if (match := AGAIN.fullmatch(text))]
    return Said(
        progress="" if gave_up else _progress(newest),
        boot=boot,
        restarted=_restarted(restarts[-1]) if restarts else None,
        gave_up=_why(gave_up["why"]) if gave_up else "",
    )


def unmarked(console: str) -> str:
    """The console without marks, for people: a reader could otherwise forge lines."""
    return MARK.sub("mixtral:", console)


def line(mark: str, text: str) -> str:
    """A line in the format of `bootstrap.sh`, for machines that do not run it."""
    return f"mixtral[{mark}]: {text}\n"


def phase(name: BootPhase) -> str:
    """The text of a line that reports the start of a phase, in the format of `bootstrap.sh`."""
    return f"phase {name}"


def progress(name: BootPhase, done: int, total: int) -> str:
    """The text of a line that reports the bytes of a phase, in the format of `bootstrap.sh`. `total` 0: unknown."""
    return f"progress {name} {done} {total}"


def again(what: str, status: int, start: int, at: datetime) -> str:
    """The text of a line that reports a restart, in the format of `bootstrap.sh`."""
    return f"{what} exited with status {status} at {at.timestamp():.0f} (start {start}), and is started again"


def no_more(what: str, status: int, times: int) -> str:
    """The text of a line that reports the end of restarts, in the format of `bootstrap.sh`."""
    return f"giving up: {what} exited with status {status} at each of its last {times} starts"


def _boot(text: str) -> BootReport | None:
    """The report in a line that begins or measures a phase; None for any other line."""
    if begun := PHASE.fullmatch(text):
        return BootReport(phase=BootPhase(begun["phase"]))
    if measured := PROGRESS.fullmatch(text):
        return BootReport(phase=BootPhase(measured["phase"]), done=int(measured["done"]), total=int(measured["total"]))
    return None


def _progress(text: str) -> str:
    between = AGAIN.fullmatch(text)
    return f"{_how(between)}; it is started again" if between else text


def _restarted(match: re.Match[str]) -> Restarted:
    at = datetime.fromtimestamp(int(match["at"]), UTC)
    return Restarted(start=int(match["start"]), at=at, how=_how(match))


def _why(text: str) -> str:
    match = TIMES.fullmatch(text)
    return f"{_how(match)}{match['rest']}" if match else text


def _how(match: re.Match[str]) -> str:
    """An exit status of a shell, for people."""
    status = int(match["status"])
    with suppress(ValueError):
        if status > KILLED:
            return f"{match['what']} was killed by {signal.Signals(status - KILLED).name}"
    return f"{match['what']} exited with status {status}"
