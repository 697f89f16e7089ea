"""The GPUs of this host, from nvidia-smi."""

import re
import subprocess
from decimal import Decimal

from msgspec import Struct

QUERY = ("nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits")
CANONICAL = (
    # Pattern of the driver's name, and the name in recipes and price tables; the first match is used.
    (r"\bA100\b.*\b80GB\b", "A100-80GB"),
    (r"\bA100\b", "A100"),
    (r"\bH100\b", "H100"),
    (r"\bH200\b", "H200"),
    (r"\bB200\b", "B200"),
    (r"\bGB200\b", "GB200"),
    (r"\bL40S\b", "L40S"),
    (r"\bL40\b", "L40"),
    (r"\bL4\b", "L4"),
    (r"\bA10G\b", "A10G"),
    (r"\bA10\b", "A10"),
    (r"\bV100\b", "V100"),
    (r"\bT4\b", "T4"),
    (r"\bRTX (\d{4})( Ti)?\b", r"RTX\1"),
)


class Gpu(Struct, frozen=True, kw_only=True):
    """One GPU."""

    index: int
    name: str
    """Canonical name, as `A100-80GB`; for other GPUs the driver's name, without `NVIDIA` and with dashes for spaces."""
    memory_gib: Decimal


def parse(answer: str) -> tuple[Gpu, ...]:
    """Parse the CSV output of QUERY: index, name, memory in MiB."""
    rows = (line.split(", ") for line in answer.splitlines() if line.count(", ") == 2)  # noqa: PLR2004 - three columns
    return tuple(
        Gpu(index=int(index), name=canonical(name), memory_gib=round(Decimal(mib) / 1024, 1))
        for index, name, mib in rows
        if mib.strip().isdigit()
    )


def canonical(name: str) -> str:
    """Canonical name of a GPU: `A100-80GB` for `NVIDIA A100-SXM4-80GB`."""
    for pattern, short in CANONICAL:
        if found := re.search(pattern, name):
            return found.expand(short)
    return name.removeprefix("NVIDIA ").strip().replace(" ", "-")


def installed() -> tuple[Gpu, ...]:
    """The GPUs of this host; empty without a working driver."""
    try:
        answer = subprocess.run(  # noqa: S603 - a constant
            QUERY, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse(answer.stdout)
