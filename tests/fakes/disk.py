"""A small file system that a test fills: a tmpfs where mounting is allowed, otherwise a limit on the size of files."""

import contextlib
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_KIB = 512


class Disk:
    """`folder` is on it. While it is full, a file can be created, and not be written."""

    def __init__(self, folder: Path, *, is_mounted: bool) -> None:
        self.folder, self.is_mounted = folder, is_mounted
        self._filler = folder / ".filler"

    @contextmanager
    def full(self) -> Iterator[None]:
        with self._filled() if self.is_mounted else _limited():
            yield

    @contextmanager
    def _filled(self) -> Iterator[None]:
        try:
            with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            yield
        finally:
            self._filler.unlink()


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    folder.mkdir(exist_ok=True)
    size = f"size={SIZE_KIB}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield Disk(folder, is_mounted=mounted.returncode == 0)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _limited() -> Iterator[None]:
    """No file of this process and of its children may have any content."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
