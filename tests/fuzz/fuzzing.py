"""Runs inputs from a seed for some seconds, and prints how a failure is repeated."""

import gc
import logging
import os
import random
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.mutation import Mutator

SECONDS = float(os.environ.get("MIXTRAL_FUZZ_SECONDS", "30"))
"""Time for each door."""
SEED = int(os.environ.get("MIXTRAL_FUZZ_SEED") or random.SystemRandom().randrange(10**6))
DOOR = os.environ.get("MIXTRAL_FUZZ_DOOR") or ""
"""The only door that is tried; empty: each."""
FIRST = int(os.environ.get("MIXTRAL_FUZZ_FIRST") or 0)
"""The number of the first input; a seed and a number give an input."""

MOST_MEMORY = 64
"""MiB that a process may grow after its first third."""
MOST_FILES = 16


def fuzz(
    door: str, once: Callable[[Mutator], Any], errors: "Errors", *, grown: Callable[[], None] = lambda: None
) -> None:
    """Call `once` with a new source of changes until the time is over.

    Fails at the first exception, and at the first error in the log. `grown`: called at the end; asserts what it knows.
    """
    if DOOR not in ("", door):
        pytest.skip(f"only {DOOR} is tried")
    until, number, began, base = time.monotonic() + SECONDS, FIRST, time.monotonic(), None
    print(f"\n{door}: seed {SEED}, {SECONDS:.0f} s", flush=True)
    while time.monotonic() < until or number == FIRST:
        shown: list[Any] = []
        mutator = Mutator(random.Random(f"{SEED}:{door}:{number}"))
        try:
            errors.about = shown
            once(_Shown(mutator, shown))
        except Exception:  # noqa: BLE001 - any exception is a finding
            _failed(door, number, shown, traceback.format_exc())
        if errors.found:
            _failed(door, number, shown, "\n".join(errors.found))
        number += 1
        if base is None and time.monotonic() - began > SECONDS / 3:
            base = _memory(), _files()
    print(f"{door}: {number - FIRST:,} inputs", flush=True)
    grown()
    if base is not None and SECONDS >= 10:
        gc.collect()
        assert _memory() - base[0] < MOST_MEMORY, f"{door}: memory has grown from {base[0]} to {_memory()} MiB"
        assert _files() - base[1] < MOST_FILES, f"{door}: open files have grown from {base[1]} to {_files()}"


class _Shown(Mutator):
    """A mutator with a place for the input, which is printed if it fails."""

    def __init__(self, mutator: Mutator, shown: list[Any]) -> None:
        super().__init__(mutator.rng)
        self.shown = shown


class Errors(logging.Handler):
    """Collects what is logged as an error, and tracebacks of any level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self.about: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            told = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""
            self.found.append(f"{record.name}: {record.getMessage()}\n{told}")


def _failed(door: str, number: int, shown: list[Any], why: str) -> None:
    pytest.fail(
        f"{door}, input {number} of seed {SEED}: {shown!r}\n"
        f"Repeat it by: make fuzz SEED={SEED} FIRST={number} DOOR={door} SECONDS=1\n{why}",
        pytrace=False,
    )


def _memory() -> int:
    """MiB of this process."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) // 1024


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
