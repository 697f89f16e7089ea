"""What the processes and Redis hold: memory, descriptors, threads, keys. Linux only."""

import contextlib
from collections import Counter
from pathlib import Path

from msgspec import Struct

from tests.soak.disturbances import children, descendants
from tests.soak.judgement import OF_JOBS

MIB = 2**20

EXPIRING = "keys that expire"

PER_FIELD = ("names", "keys", "cards", "load", "idle", "questions", "direct")
"""Hashes whose fields are deployments, questions or requests, and that do not expire as a whole."""


class Footprint(Struct, frozen=True, kw_only=True):
    """Of one part of the product, which may be several processes."""

    pss: float
    """Memory in MiB: its own, and its share of what processes have in common."""
    descriptors: int
    threads: int
    pids: tuple[int, ...]


def of_processes(pids):
    found = [one for pid in pids if (one := _of_process(pid))]
    return Footprint(
        pss=sum(one.pss for one in found),
        descriptors=sum(one.descriptors for one in found),
        threads=sum(one.threads for one in found),
        pids=tuple(pid for one in found for pid in one.pids),
    )


def _of_process(pid):
    with contextlib.suppress(OSError):
        proc = Path(f"/proc/{pid}")
        pss = next(int(row.split()[1]) for row in (proc / "smaps_rollup").read_text().splitlines() if row[:4] == "Pss:")
        return Footprint(
            pss=pss * 1024 / MIB,
            descriptors=_entries(proc / "fd"),
            threads=_entries(proc / "task"),
            pids=(pid,),
        )
    return None


def _entries(folder):
    return sum(1 for _ in folder.iterdir())


def parts(line):
    """The processes of the product and of Valkey, by part. A job's process is not counted."""
    worker, gateway = line.children.pid("worker"), line.children.pid("gateway")
    below = children(worker)
    sweeper = max(below, key=_thread_count, default=0)  # a process for jobs has no pool of threads
    return {
        "bot": [line.children.pid("bot")],
        "pool of workers": [worker],
        "sweeper": [sweeper],
        OF_JOBS: [pid for pid in below if pid != sweeper],
        "gateway": [gateway],
        "HAProxy": descendants(gateway),
        "Valkey": [line.children.pid("valkey")],
    }


def _thread_count(pid):
    with contextlib.suppress(OSError):
        return _entries(Path(f"/proc/{pid}/task"))
    return 0


def of_redis(redis):
    """Numbers: of keys that never expire, by pattern; of those that do; of the fields and entries of some."""
    found = Counter({f"fields of mixtral:{name}": redis.hlen(f"mixtral:{name}") for name in PER_FIELD})
    found |= {f"entries of mixtral:{name}": redis.xlen(f"mixtral:{name}") for name in ("feed", "ledger", "audit")}
    for key in redis.scan_iter(count=1000):
        found[pattern(key.decode()) if redis.ttl(key) == -1 else EXPIRING] += 1
    return dict(found)


def pattern(key):
    """A key without its variable part."""
    words = key.split(":")
    return ":".join(words[:2]) + (":…" if len(words) > 2 else "")
