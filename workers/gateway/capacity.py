"""How much memory HAProxy may use, and how many connections it accepts."""

import os
import resource
from pathlib import Path

from msgspec import Struct

MIB = 1 << 20
OF_CONNECTION = 128 * 1024
"""Bytes of a connection besides its buffers, with TLS."""
BUFFERS = 2
"""Buffers of a connection whose request is incomplete or waits. A request of the buffer's size may need a third."""
LEAST = 100
CGROUP = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Files with the limit of a container's memory in bytes, of cgroups 2 and 1, below CGROUP."""
SPARE_FILES = 1000
"""Files that are not connections: health checks, listeners, sockets."""


class Capacity(Struct, frozen=True, kw_only=True):
    memory: int
    """HAProxy's limit of memory, in MiB."""
    maxconn: int
    """Connections that it accepts at once."""


def capacity(memory: int | None, bufsize: int) -> Capacity:
    """`memory`: in MiB; without it, half of the memory of this machine, or of this container if it has a limit."""
    mib = memory or _total(CGROUP) // 2 // MIB
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return fitting(mib, bufsize, files)


def fitting(memory: int, bufsize: int, files: int) -> Capacity:
    """What fits into `memory` MiB and `files` open files, of which each connection needs two."""
    by_memory = memory * MIB // (BUFFERS * bufsize + OF_CONNECTION)
    by_files = (files - min(SPARE_FILES, files // 4)) // 2
    return Capacity(memory=memory, maxconn=max(LEAST, min(by_memory, by_files)))


def _total(cgroup: Path) -> int:
    """Bytes of memory of this machine or container."""
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([of_machine, *(limit for name in LIMITS if (limit := _limit(cgroup / name)))])


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max": no limit
