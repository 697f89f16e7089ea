"""Which processes belong to a local machine: all that were started in it carry its folder in their environment."""

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "MIXTRAL_MACHINE"
PROC = Path("/proc")


def of_machine(folder: Path, session: int | None) -> tuple[int, ...]:
    """The ids of its living processes, whoever their parent is now.

    The session (the id of the machine's process) finds those that wrote over their environment, as programs do that
    change their title. Its number is trusted unless a process of that id lives that is not the machine's: then the
    number was given anew, which happens only when the session had no member left.
    """
    living = {int(entry.name): _state(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit()}
    if session in living and living[session] is not None and not belongs(session, folder):
        session = None
    return tuple(
        pid
        for pid, session_of in living.items()
        if session_of is not None and (session_of == session or belongs(pid, folder))
    )


def belongs(pid: int, folder: Path) -> bool:
    """Whether the process lives and carries the folder."""
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False  # it ended meanwhile, or it is somebody else's
    return f"{MARK}={folder}".encode() in environment.split(b"\0")


def kill(folder: Path, session: int | None) -> bool:
    """SIGKILL to all of them but the caller; whether there were any."""
    pids = [pid for pid in of_machine(folder, session) if pid != os.getpid()]
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def _state(pid: int) -> int | None:
    """The session of a living process; None for one that is gone, if only not yet buried by its parent."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, _parent, _group, session = fields[:4]
    return None if state in "ZX" else int(session)
