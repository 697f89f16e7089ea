"""PURE: names of accelerators, and the notations in which a recipe may list them."""

import difflib
import re
from typing import NamedTuple

from msgspec.structs import replace

from recipes.schema import Accelerator
from recipes.value import Value, shown

MAX_PER_MACHINE = 128

# fmt: off
NAMES = (
    "A2", "A10", "A10G", "A16", "A30", "A40", "A100", "A100-80GB", "B100", "B200", "B300", "GB200", "GB300",
    "GH200", "H20", "H100", "H100-MEGA", "H100-NVL", "H100-SXM", "H200", "H200-SXM", "K80", "L4", "L40",
    "L40S", "M60", "P4", "P40", "P100", "T4", "T4g", "V100", "V100-32GB", "RTX2080", "RTX3060", "RTX3070",
    "RTX3080", "RTX3090", "RTX4000", "RTX4000-Ada", "RTX4080", "RTX4090", "RTX5000", "RTX5000-Ada",
    "RTX5080", "RTX5090", "RTX6000", "RTX6000-Ada", "RTXA4000", "RTXA5000", "RTXA6000", "A4000", "A5000",
    "A6000", "RTXPRO6000", "MI25", "MI50", "MI100", "MI210", "MI250", "MI300X", "MI325X", "MI355X",
    "Inferentia", "Inferentia2", "Trainium", "Trainium2",
)
# fmt: on
"""Canonical names of SkyPilot's catalogue. Not every one of them has a price in the price table."""


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


BY_FOLDED_NAME = {_folded(name): name for name in NAMES}

MEMORY = re.compile(r"(\w+:)?\d+[kmgt]b\+?(:\d+)?", re.IGNORECASE)


class Listed(NamedTuple):
    """The accelerators that one field names."""

    alternatives: tuple[Accelerator, ...]
    ordered: bool
    """Whether their order is the order of preference, as in a list with more than one entry."""


def canonical(name: str) -> str | None:
    """The canonical name: `A10G` for `a10g`, `RTXPRO6000` for `RTX-PRO-6000`. None if it is unknown.

    Every name that begins with `tpu-` is known.
    """
    if re.fullmatch(r"tpu-[a-z0-9-]{1,40}", name, re.IGNORECASE):
        return name.lower()
    return BY_FOLDED_NAME.get(_folded(name))


def listed(value: Value) -> Listed:
    """Read `A100:8`, `{A100: 8}`, `{A100:4, A100-80GB:2}`, `{L4, A10g}` or a list of such texts."""
    match value.data:
        case None:
            found: list[Accelerator] = []
        case dict():
            found = [_entry(name, count) for name, count in value.data.items()]
        case tuple():
            found = [_entry(item.string(), None, item) for item in value.data]
        case _:
            found = [_entry(value.string(), None, value)]
    if not found and not value.empty:
        raise value.refused("names no accelerator; leave the field out for a machine without one")
    return Listed(tuple(dict.fromkeys(found)), isinstance(value.data, tuple) and len(found) > 1)


def parse(text: str) -> Accelerator:
    """Read `A100-80GB:2` from the command line. Raises RecipeError."""
    return _entry(text, None, Value(file="--gpus", line=0, field="", data=text, text=text))


def _entry(written: str, count: Value | None, blamed: Value | None = None) -> Accelerator:
    blamed = blamed or count
    assert blamed is not None  # noqa: S101 - one of the two is always given
    written = written.strip()
    if MEMORY.fullmatch(written):
        raise blamed.refused(f"choosing an accelerator by its memory ({shown(written)}) is not supported; name it")
    name, colon, inner = written.partition(":")
    known = canonical(name.strip())
    if known is None:
        raise blamed.refused(_unknown(name.strip()))
    if colon and count is not None and not count.empty:
        raise blamed.refused(f"gives the count twice: {shown(written)} and {shown(count.text)}")
    if colon:
        number = replace(blamed, data=inner.strip(), text=inner)
    elif count is not None and not count.empty:
        number = count
    else:
        return Accelerator(name=known, count=1)
    return Accelerator(name=known, count=number.whole(minimum=1, maximum=MAX_PER_MACHINE))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(_folded(name), BY_FOLDED_NAME, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(BY_FOLDED_NAME[n] for n in near)}?" if near else "an example is A100-80GB:2"
    return f"unknown accelerator {shown(name)}; {hint}"
