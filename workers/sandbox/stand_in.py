"""What the stand-ins of both clouds share: the machines behind their instances, their faults, and their process."""

import argparse
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Container
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct


class Machines(Protocol):
    """What runs an instance: `workers.sandbox.machine.Machines`, or a test's fake."""

    def boot(self, id_: str, user_data: str, /) -> str: ...
    def kill(self, id_: str, /) -> None: ...
    def console(self, id_: str, /) -> str: ...
    def alive(self, id_: str, /) -> bool: ...


Clock: TypeAlias = Callable[[], datetime]
"""Returns the present time, timezone-aware; a simulation passes its own."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Billed(Struct, frozen=True, kw_only=True):
    """A machine that has ended, as the cloud bills it."""

    machine: str
    zone: str
    instance_type: str
    spot: bool
    began: datetime
    ended: datetime


class AnyFault(Struct, frozen=True, kw_only=True):
    """A fault, and the calls that it applies to; patterns are fnmatch's."""

    code: str
    zone: str = "*"
    times: int | None = None
    """Number of times that the fault happens; None: no limit."""

    def fits(self, call: str, **about: str) -> bool:
        """Whether it applies to a call. `about`: the call's values of the fields of these names; may be empty."""
        return self._matches(call) and all(not said or fnmatchcase(said, getattr(self, n)) for n, said in about.items())

    def _matches(self, call: str) -> bool:
        raise NotImplementedError


F = TypeVar("F", bound=AnyFault)


class AnyFaults(Generic[F]):
    """The faults that are set. Not thread-safe: the caller holds the cloud's lock."""

    def __init__(self) -> None:
        self._set: list[F] = []
        self._happened: Counter[int] = Counter()

    def add(self, fault: F) -> None:
        self._set.append(fault)

    def clear(self) -> None:
        self._set.clear()
        self._happened.clear()

    def take(self, codes: Container[str], call: str, **about: str) -> F | None:
        """The first matching fault with one of `codes`, counted as having happened; or None."""
        for at, fault in enumerate(self._set):
            if fault.code in codes and self._is_left(at) and fault.fits(call, **about):
                self._happened[at] += 1
                return fault
        return None

    def _is_left(self, at: int) -> bool:
        times = self._set[at].times
        return times is None or self._happened[at] < times


def main(cloud: str, server_on: Callable[[int, Machines], Any]) -> None:
    """Serve until SIGTERM or SIGINT. `server_on`: returns the server on a port, for these machines."""
    parser = argparse.ArgumentParser(description=f"A stand-in for {cloud}; nothing is billed.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    from workers.sandbox.machine import Machines as LoopbackMachines  # noqa: PLC0415 - tests of the API need no engines

    machines = LoopbackMachines(args.folder)
    server = server_on(args.port, machines)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(f"{cloud}'s stand-in listens on {server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        machines.close()
