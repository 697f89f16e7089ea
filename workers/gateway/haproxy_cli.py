"""Client of HAProxy's command line on the socket of its master process."""

import re
import socket
import time
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from workers.gateway.errors import GatewayDown, GatewayError

TIMEOUT = timedelta(seconds=5)
OLDER_TIMEOUT = timedelta(seconds=1)
"""Short, because the master does not answer a command to a process that ends during the command."""
RELOAD_TIMEOUT = timedelta(seconds=30)

MAX_PATH = 97
"""Maximum length of the socket's path in bytes: HAProxy creates it under a longer name first."""

CURRENT = "@1"


class Processes(Struct, frozen=True, kw_only=True):
    """The worker processes of one master."""

    current: int
    old: tuple[int, ...] = ()
    """Processes that a reload has replaced and that finish their requests."""


class Cli:
    """Opens one connection per command: HAProxy closes it after its answer."""

    def __init__(self, path: Path) -> None:
        if len(bytes(path)) > MAX_PATH:
            raise GatewayError(
                f"The path {path} is too long for a socket. Set MIXTRAL_GATEWAY_FOLDER to a shorter path."
            )
        self._path = path

    def ask(self, command: str, *, process: str = CURRENT) -> str:
        """The answer to one command. Raises GatewayDown if there is none. Commands contain keys: never log them."""
        if not command.isprintable() or ";" in command:  # a semicolon separates two commands
            raise GatewayError("A name, an address or a key contains a character that HAProxy does not accept.")
        return self._send(f"{process} {command}", TIMEOUT if process == CURRENT else OLDER_TIMEOUT)

    def processes(self) -> Processes:
        """The master's worker processes. Raises GatewayDown if there is no current one."""
        listed = self._send("show proc", TIMEOUT)
        workers, _, old = listed.partition("# old workers")
        current = re.search(r"^(\d+)\s+worker\s", workers, re.MULTILINE)
        if current is None:
            raise GatewayDown("HAProxy has no worker process yet: it is starting.")
        found = re.findall(r"^(\d+)\s+worker\s", old.partition("# programs")[0], re.MULTILINE)
        return Processes(current=int(current[1]), old=tuple(int(pid) for pid in found))

    def reload(self) -> None:
        """Start a new worker on the same sockets. Raises GatewayError if HAProxy refuses its configuration."""
        before = self.processes().current
        answer = self._send("reload", RELOAD_TIMEOUT, whole=False)
        if "Success=0" in answer:
            raise GatewayError(f"HAProxy refuses its configuration: {answer.partition('--')[2].strip()[-500:]}")
        deadline = time.monotonic() + RELOAD_TIMEOUT.total_seconds()
        while not self._was_replaced(before):
            if time.monotonic() > deadline:
                raise GatewayDown(f"HAProxy did not answer within {RELOAD_TIMEOUT.seconds} s of a reload.")
            time.sleep(0.02)

    def _was_replaced(self, before: int) -> bool:
        try:
            return self.processes().current != before
        except GatewayDown:  # the master restarts itself and does not answer meanwhile
            return False

    def _send(self, line: str, timeout: timedelta, *, whole: bool = True) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(timeout.total_seconds())
                s.connect(str(self._path))
                s.sendall(line.encode() + b"\n")
                if whole:
                    s.shutdown(socket.SHUT_WR)  # otherwise the master waits for further commands
                return b"".join(iter(lambda: s.recv(65536), b"")).decode(errors="replace").strip()
        except OSError as error:
            raise GatewayDown(f"HAProxy does not answer at {self._path} ({error.strerror or error}).") from error
