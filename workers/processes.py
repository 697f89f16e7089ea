"""Child processes that never outlive their parent, and are restarted if they end."""

import contextlib
import ctypes
import logging
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1

RESTART_AFTER = 1.0
"""Minimum time between two starts of the same child, in seconds."""


MAX_LOG = 10_000_000
"""Size of a child's log in bytes above which it is begun again; one copy of what it contained is kept."""

MAX_DESCRIPTORS = 65_536
"""Maximum number of descriptors that is asked for; some programs close all possible ones when they start."""


def raise_descriptors() -> int:
    """Raise this process's limit of open descriptors to its hard limit. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # macOS admits fewer than its hard limit says
        logger.warning("the limit of %d open descriptors cannot be raised to %d: %s", soft, wanted, error)
        return soft
    return wanted


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent (a process id) ends for any reason (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call above
        os.kill(os.getpid(), signal.SIGKILL)


class Child(Struct, frozen=True, kw_only=True):
    """A program that runs as long as its parent."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path


def _begin_again(log: Path) -> None:
    """Empty a log that is too long. The child appends to the same file, so it is copied and not renamed."""
    with contextlib.suppress(OSError):
        if log.stat().st_size <= MAX_LOG:
            return
        with contextlib.suppress(OSError):  # without space for the copy, emptying the log makes some
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


class Children:
    """Starts programs, restarts those that end, and ends all in the reverse order of their start."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}

    def start(self, child: Child) -> None:
        """Start a program, and restart it from now on if it ends."""
        self._children.append(child)
        self._spawn(child)

    def pid(self, name: str) -> int:
        return self._running[name][0].pid

    def has_ended(self, name: str) -> bool:
        return self._running[name][0].poll() is not None

    def restart_the_dead(self) -> None:
        """Restart the children that have ended, and begin logs that are too long again. To be called periodically."""
        for child in self._children:
            _begin_again(child.log)
            process, started = self._running[child.name]
            if process.poll() is not None and time.monotonic() - started >= RESTART_AFTER:
                logger.warning("%s ended with status %s, restarting it", child.name, process.returncode)
                self._spawn(child)

    def stop(self, grace: float = 5.0) -> None:
        """End every child: SIGTERM, and SIGKILL after `grace` seconds."""
        for child in reversed(self._children):
            process, _ = self._running[child.name]
            process.terminate()
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._children.clear()

    def _spawn(self, child: Child) -> None:
        parent = os.getpid()
        with child.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - the programs are our own
                child.argv,
                env=dict(child.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C at the terminal reaches only the parent, which ends its children in order
                preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - the parents have one thread
            )
        self._running[child.name] = (process, time.monotonic())
