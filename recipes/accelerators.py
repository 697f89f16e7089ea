"""PURE: names of accelerators, and the notations in which a recipe may list them."""

import difflib
import re
from typing import NamedTuple

from msgspec.structs import replace

from recipes.schema import Accelerator, Note
from recipes.unserved import note
from recipes.value import Value, shown

MAX_PER_MACHINE = 128

# fmt: off
NAMES = (
    "A2", "A10", "A10G", "A16", "A30", "A40", "A100", "A100-80GB", "A100-80GB-SXM", "A800", "B100", "B200", "B300",
    "GB200", "GB300", "GH200", "H20", "H100", "H100-MEGA", "H100-NVL", "H100-NVLINK", "H100-SXM", "H200", "H200-SXM",
    "K80", "L4", "L40", "L40S", "M60", "M4000", "P4", "P40", "P100", "P4000", "T4", "T4g", "V100", "V100-32GB",
    "GTX1660S", "RTX2080", "RTX3060", "RTX3070", "RTX3080", "RTX3090", "RTX4000", "RTX4000-Ada", "RTX4060", "RTX4080",
    "RTX4090", "RTX5000", "RTX5000-Ada", "RTX5060", "RTX5080", "RTX5090", "RTX6000", "RTX6000-Ada", "RTXA4000",
    "RTXA4500", "RTXA5000", "RTXA6000", "A4000", "A5000", "A6000", "RTXPRO6000", "RTXPRO6000S", "RTXPRO6000WS",
    "MI25", "MI50", "MI100", "MI210", "MI250", "MI300X", "MI325X", "MI355X", "Radeon MI25", "Radeon Pro V520",
    "Gaudi HL-205", "Inferentia", "Inferentia2", "Trainium", "Trainium2",
)
# fmt: on
"""Canonical names of SkyPilot's catalogue. Not every one of them has a price in the price table."""


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


BY_FOLDED_NAME = {_folded(name): name for name in NAMES}

MEMORY = re.compile(r"(\w+:)?\d+[kmgt]b\+?(:\d+)?", re.IGNORECASE)


POSSIBLE = re.compile(r"[A-Za-z][A-Za-z0-9 ._-]{1,39}")
"""A name that a newer catalogue may have."""

NOT_OFFERED = "no machine with it is known, so its alternatives are used"


class Listed(NamedTuple):
    """The accelerators that one field names."""

    alternatives: tuple[Accelerator, ...]
    notes: list[Note]
    """One for each unknown name beside a known one: the list of names may be older than the recipe."""
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
    """Read `A100:8`, `{A100: 8}`, `{A100:4, A100-80GB:2}`, `{L4, A10g}` or a list of such texts.

    An unknown name beside a known one is kept, as an accelerator that no cloud offers; alone it is a mistake.
    """
    match value.data:
        case None:
            entries: list[tuple[str, Value]] = []
        case dict():
            entries = list(value.data.items())
        case tuple():
            entries = [(item.string(), item) for item in value.data]
        case _:
            entries = [(value.string(), value)]
    if value.data is not None and not entries:
        raise value.refused("names no accelerator; leave the field out for a machine without one")
    counted = isinstance(value.data, dict)
    some_known = any(canonical(_name(written)) for written, _ in entries)
    found = [_entry(w, v if counted else None, v, some_known=some_known) for w, v in entries]
    notes = [note(v, f"{_unknown(_name(w))}; {NOT_OFFERED}") for w, v in entries if canonical(_name(w)) is None]
    return Listed(tuple(dict.fromkeys(found)), notes, isinstance(value.data, tuple) and len(found) > 1)


def parse(text: str) -> Accelerator:
    """Read `A100-80GB:2` from the command line. Raises RecipeError."""
    return _entry(text, None, Value(file="--gpus", line=0, field="", data=text, text=text))


def _name(written: str) -> str:
    return written.partition(":")[0].strip()


def _entry(written: str, count: Value | None, blamed: Value, *, some_known: bool = False) -> Accelerator:
    """`some_known`: an unknown name is accepted, because it stands beside a known one."""
    written = written.strip()
    if MEMORY.fullmatch(written):
        raise blamed.refused(f"choosing an accelerator by its memory ({shown(written)}) is not supported; name it")
    _, colon, inner = written.partition(":")
    name = _name(written)
    known = canonical(name) or (name if some_known and POSSIBLE.fullmatch(name) else None)
    if known is None:
        raise blamed.refused(_unknown(name))
    if colon and count is not None and not count.empty:
        raise blamed.refused(f"gives the count twice: {shown(written)} and {shown(count.text)}")
    if colon:
        number = replace(blamed, data=inner.strip(), text=inner)
    elif count is not None and not count.empty:
        number = count
    else:
        return Accelerator(name=known, count=1)
    if number.number() != int(number.number()):
        whole = "must be a whole number, because a machine is rented with whole GPUs"
        raise number.refused(f"{whole}: write {known}:1, not {shown(number.text)}")
    return Accelerator(name=known, count=number.whole(minimum=1, maximum=MAX_PER_MACHINE))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(_folded(name), BY_FOLDED_NAME, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(BY_FOLDED_NAME[n] for n in near)}?" if near else "an example is A100-80GB:2"
    return f"unknown accelerator {shown(name)}; {hint}"
