"""PURE: whether what was measured during a soak has grown."""

import statistics
from collections.abc import Mapping, Sequence

from msgspec import Struct

PSS_SHARE, PSS_MORE = 0.08, 6.0
"""Tolerated growth of memory: a share of the earlier value, and MiB in addition."""
SWEEPER, PSS_MORE_OF_SWEEPER = "sweeper", 12.0
"""MiB in addition for the sweeper: it makes a client of a region when it first uses it, of 1.4 MiB, for 24 regions."""
DESCRIPTORS = 8
"""Tolerated growth of descriptors: connections that are opened when they are first needed, one per thread of a pool."""
OF_JOBS = "processes for jobs"
DESCRIPTORS_OF_JOBS = 24
"""The same of the four processes for jobs: one that is forked again inherits two pipes of each of the others."""
THREADS = 8
"""Tolerated growth of threads: the largest pool. A pool starts a thread only when it needs one."""
KEYS = 1
TRANSIENT = {"rq:job:…": 8, "rq:wip:…": 2, "rq:failed:…": 2}
"""Tolerated growth of keys of jobs that died with Valkey or their process; they are forgotten within 90 seconds."""

GROW = {
    "fields of mixtral:cards": "one per deployment, until its log expires after 30 days",
    "fields of mixtral:load": "one per deployment, until the gateway tidies up once an hour",
    "entries of mixtral:feed": "one per event, at most 100,000",
    "entries of mixtral:ledger": "kept: what machines have cost",
    "entries of mixtral:audit": "kept: what people have done",
    "keys that expire": "marks of requests and questions, for 1 hour to 30 days",
}
"""What may grow during a soak, and why it stays bounded or is kept."""


class Compared(Struct, frozen=True, kw_only=True):
    """One quantity in the second and in the last quarter: the medians."""

    what: str
    before: float
    after: float
    most: float | None
    """Maximum of `after`; None: it may grow."""
    unit: str = ""

    @property
    def has_grown(self) -> bool:
        return self.most is not None and self.after > self.most


def quarters(samples: Sequence[float]) -> tuple[float, float]:
    """The medians of the second and of the last quarter."""
    size = max(len(samples) // 4, 1)
    return statistics.median(samples[size : 2 * size] or samples[:1]), statistics.median(samples[-size:])


def memory(what: str, samples: Sequence[float]) -> Compared:
    before, after = quarters(samples)
    more = PSS_MORE_OF_SWEEPER if what.startswith(SWEEPER) else PSS_MORE
    return Compared(what=what, before=before, after=after, most=before * (1 + PSS_SHARE) + more, unit="MiB")


def count(what: str, samples: Sequence[float], tolerance: float | None) -> Compared:
    before, after = quarters(samples)
    return Compared(what=what, before=before, after=after, most=None if tolerance is None else before + tolerance)


def keys(samples: Sequence[Mapping[str, int]]) -> list[Compared]:
    names = sorted({name for sample in samples for name in sample})
    tolerated = dict.fromkeys(names, KEYS) | TRANSIENT | dict.fromkeys(GROW)
    return [count(name, [sample.get(name, 0) for sample in samples], tolerated[name]) for name in names]
