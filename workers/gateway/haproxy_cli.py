"""HAProxy's own command line, spoken over the socket of its master process."""

import re
import socket
import time
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from workers.gateway.errors import GatewayDown, GatewayError

TIMEOUT = timedelta(seconds=5)
OLDER_TIMEOUT = timedelta(seconds=1)
"""The master leaves a question open that an older process did not live to answer."""
RELOAD_TIMEOUT = timedelta(seconds=30)

LONGEST = 100
"""Bytes of a path that every system takes as a socket's name."""

CURRENT = "@1"


class Processes(Struct, frozen=True, kw_only=True):
    """The worker processes of one master."""

    current: int
    old: tuple[int, ...] = ()
    """Those that a reload has replaced, and that finish what they began."""


class Cli:
    """One connection a command: HAProxy closes it after its answer."""

    def __init__(self, path: Path) -> None:
        if len(bytes(path)) > LONGEST:
            raise GatewayError(
                f"{path} is too long for the name of a socket. Set MIXTRAL_GATEWAY_FOLDER to a shorter path."
            )
        self._path = path

    def ask(self, command: str, *, process: str = CURRENT) -> str:
        """The answer to one command. Raises GatewayDown if nobody answers. The command may hold keys: tell nobody."""
        if not command.isprintable() or ";" in command:  # it would be two commands
            raise GatewayError("A name, an address or a key holds a character that HAProxy cannot take.")
        return self._send(f"{process} {command}", TIMEOUT if process == CURRENT else OLDER_TIMEOUT)

    def processes(self) -> Processes:
        """Who works under the master. Raises GatewayDown if nobody does."""
        listed = self._send("show proc", TIMEOUT)
        workers, _, old = listed.partition("# old workers")
        current = re.search(r"^(\d+)\s+worker\s", workers, re.MULTILINE)
        if current is None:
            raise GatewayDown("HAProxy has no worker process yet: it is starting.")
        found = re.findall(r"^(\d+)\s+worker\s", old.partition("# programs")[0], re.MULTILINE)
        return Processes(current=int(current[1]), old=tuple(int(pid) for pid in found))

    def reload(self) -> None:
        """Have a new worker take the sockets over. Raises GatewayError if HAProxy refuses its configuration."""
        before = self.processes().current
        answer = self._send("reload", RELOAD_TIMEOUT, whole=False)
        if "Success=0" in answer:
            raise GatewayError(f"HAProxy refuses its configuration: {answer.partition('--')[2].strip()[-500:]}")
        deadline = time.monotonic() + RELOAD_TIMEOUT.total_seconds()
        while not self._answers_anew(before):
            if time.monotonic() > deadline:
                raise GatewayDown("HAProxy did not come back from a reload.")
            time.sleep(0.02)

    def _answers_anew(self, before: int) -> bool:
        try:
            return self.processes().current != before
        except GatewayDown:  # the master starts itself anew, and is deaf meanwhile
            return False

    def _send(self, line: str, timeout: timedelta, *, whole: bool = True) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(timeout.total_seconds())
                s.connect(str(self._path))
                s.sendall(line.encode() + b"\n")
                if whole:
                    s.shutdown(socket.SHUT_WR)  # nothing more to ask: without this the master waits for more
                return b"".join(iter(lambda: s.recv(65536), b"")).decode(errors="replace").strip()
        except OSError as error:
            raise GatewayDown(f"HAProxy does not answer at {self._path} ({error.strerror or error}).") from error
