"""The processes of a local machine. They have its folder in their environment."""

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "MIXTRAL_MACHINE"
PROC = Path("/proc")


def of_machine(folder: Path, session: int | None) -> tuple[int, ...]:
    """Ids of the machine's running processes, including those whose parent has ended.

    `session` (the id of the machine's process) finds processes that overwrote their environment, for example by
    changing their title. It is ignored if a process with this id is not the machine's: the id was then reused, which
    is possible only after all processes of the session have ended.
    """
    running = {int(entry.name): _state(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit()}
    if session in running and running[session] is not None and not belongs(session, folder):
        session = None
    return tuple(
        pid
        for pid, session_of in running.items()
        if session_of is not None and (session_of == session or belongs(pid, folder))
    )


def belongs(pid: int, folder: Path) -> bool:
    """Whether the process runs and has the folder in its environment."""
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False  # it has ended, or belongs to another user
    return f"{MARK}={folder}".encode() in environment.split(b"\0")


def kill(folder: Path, session: int | None) -> bool:
    """Send SIGKILL to all of them except the caller. Returns whether there were any."""
    pids = [pid for pid in of_machine(folder, session) if pid != os.getpid()]
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def _state(pid: int) -> int | None:
    """The session of a running process; None if it has ended or is a zombie."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, _parent, _group, session = fields[:4]
    return None if state in "ZX" else int(session)
