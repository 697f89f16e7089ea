"""The folder of a local machine. Driver and process communicate by its files, which are written atomically."""

import fcntl
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from workers.clouds.driver import DriverError
from workers.machines import MachineRequest
from workers.placement.offer import Offer
from workers.placement.refusals import Scope

Read = TypeVar("Read")

# The lock belongs to an open file and not to a process, so an engine that inherits the descriptor holds it, too. It can
# be tested without taking it, so a test never prevents a machine from starting.
WHOLE_FILE = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Started(Struct, frozen=True, kw_only=True):
    """Written by a machine's process before it starts an engine."""

    address: str
    pid: int
    offer: Offer


class NeverMade(Struct, frozen=True, kw_only=True):
    """Why a machine was not made."""

    sentence: str
    code: str
    scope: Scope


class MachineFolder:
    """One token's folder. Each method reads or writes one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "machine.log"
        self.older_log = path / "machine.log.1"
        self.lock = path / "lock"

    def request(self) -> MachineRequest | None:
        return self._read("request.json", MachineRequest)

    def keep_request(self, request: MachineRequest) -> None:
        self._write_once("request.json", msgspec.json.encode(request))

    def started(self) -> Started | None:
        return self._read("machine.json", Started)

    def start(self, started: Started) -> None:
        self._write_once("machine.json", msgspec.json.encode(started))

    def refusal(self) -> NeverMade | None:
        return self._read("refused", NeverMade)

    def refuse(self, refusal: NeverMade) -> None:
        self._write_once("refused", msgspec.json.encode(refusal))

    def ended(self) -> str | None:
        return self._text("ended")

    def end(self, why: str) -> None:
        """Write the tombstone. If there is one already, its reason is kept."""
        self._write_once("ended", why.encode())

    def expires_at(self) -> datetime | None:
        text = self._text("expiry")
        return datetime.fromisoformat(text) if text else None

    def extend(self, expires_at: datetime) -> None:
        with self._new_file(expires_at.astimezone(UTC).isoformat().encode()) as new:
            new.replace(self.path / "expiry")

    def progress(self) -> str:
        return self._text("progress") or ""

    def report(self, progress: str) -> None:
        with self._new_file(progress.encode()) as new:
            new.replace(self.path / "progress")

    def made_at(self) -> datetime:
        return datetime.fromtimestamp((self.path / "request.json").stat().st_mtime, UTC)

    def touched_at(self) -> datetime:
        """When a file in the folder last changed."""
        return datetime.fromtimestamp(max(p.stat().st_mtime for p in (self.path, *self.path.iterdir())), UTC)

    def trim_log(self, limit: int) -> None:
        """If the log has at least `limit` bytes, keep the last ones as the older log, and empty it. Raises OSError.

        Those that write to it append, so they need not know. On a full disk, the older log is lost.
        """
        if self.log.stat().st_size < limit:
            return
        with suppress(OSError), os.fdopen(os.open(self.older_log, NEW_FILE, 0o600), "wb") as older:
            older.write(_end(self.log, limit))
        os.truncate(self.log, 0)

    def log_end(self, size: int) -> bytes:
        """The last bytes of the log and, if it is shorter, of the older one before it."""
        newer = _end(self.log, size)
        return _end(self.older_log, size - len(newer)) + newer

    def alive(self) -> bool:
        """Whether the machine's process or its engine runs."""
        return is_held(self.lock)

    def _text(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None

    def _read(self, name: str, kind: type[Read]) -> Read | None:
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DriverError(
                f"{self.path / name} cannot be read ({error}). If no process of the machine runs, delete {self.path}."
            ) from error

    def _write_once(self, name: str, content: bytes) -> None:
        with self._new_file(content) as new, suppress(FileExistsError):
            os.link(new, self.path / name)

    @contextmanager
    def _new_file(self, content: bytes) -> Iterator[Path]:
        """A complete file with a temporary name; deleted afterwards unless it was renamed."""
        handle, name = tempfile.mkstemp(dir=self.path, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def _end(file: Path, size: int) -> bytes:
    """The last bytes of a file; none if it does not exist."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - size))
            return opened.read(size)
    except FileNotFoundError:
        return b""


def take(lock: Path) -> int | None:
    """Lock a file until this process and all that inherit the returned descriptor end; None if it is locked."""
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, WHOLE_FILE)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def is_held(lock: Path) -> bool:
    """Whether the file is locked. Does not take the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, WHOLE_FILE)
    finally:
        os.close(descriptor)
    kind, *_ = struct.unpack("hhqqi0q", answer)
    return bool(kind != fcntl.F_UNLCK)
