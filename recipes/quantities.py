"""PURE: parsers for the scalars of a recipe: variables, amounts, sizes, ports, durations."""

import re
from collections.abc import Mapping
from datetime import timedelta

from msgspec.structs import replace

from recipes.schema import Minimum
from recipes.value import Value

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?i?b?)\s*([+x]?)", re.IGNORECASE)
GIB_IN = {"": 1.0, "g": 1.0, "t": 1024.0, "p": 1024.0**2, "m": 1 / 1024, "k": 1 / 1024**2}
HIGHEST_PORT = 65535
MAX_PORTS = 64
MAX_DURATION = timedelta(days=7)


def filled(text: str, known: Mapping[str, str]) -> str:
    """`text` with `$X` and `${X}` replaced where X is known. Unknown variables are kept."""
    return VARIABLE.sub(lambda found: known.get(found[1] or found[2], found[0]), text)


def filled_in(value: Value, known: Mapping[str, str]) -> Value:
    """A copy of the tree with variables replaced in its texts."""
    match value.data:
        case dict():
            return replace(value, data={name: filled_in(item, known) for name, item in value.data.items()})
        case tuple():
            return replace(value, data=tuple(filled_in(item, known) for item in value.data))
        case str():
            text = filled(value.data, known)
            return replace(value, data=text, text=text)
        case _:
            return value


def amount(value: Value, *, memory: bool = False) -> tuple[Minimum, bool]:
    """Read `32` or `32+`, for memory also `64GB+` or `4x`: the minimum (memory in GiB), and whether it is per vCPU."""
    found = AMOUNT.fullmatch(value.string().strip())
    unit = found[2].lower().rstrip("b").rstrip("i") if found else ""
    if not found or (found[2] and not memory) or (found[3].lower() == "x" and not memory) or float(found[1]) <= 0:
        examples = "64, 64+, 64GB+ or 4x" if memory else "8 or 8+"
        raise value.refused(f"must be an amount such as {examples}, not {value.kind}")
    per_cpu = found[3].lower() == "x"
    least = found[3] == "+" or per_cpu
    return Minimum(amount=float(found[1]) * GIB_IN[unit], at_least=least), per_cpu


def size_gib(value: Value) -> int:
    """Read `256` or `1TB`, in whole GiB, rounded up."""
    found = AMOUNT.fullmatch(value.string().strip())
    if not found or found[3]:
        raise value.refused(f"must be a size such as 256 or 1TB, not {value.kind}")
    gib = float(found[1]) * GIB_IN[found[2].lower().rstrip("b").rstrip("i")]
    if not 0 < gib <= 1024**2:
        raise value.refused(f"must be a size between 1 GB and 1 PB, not {value.kind}")
    return -int(-gib // 1)


def one_of(value: Value, names: tuple[str, ...]) -> str:
    name = value.string().lower()
    if name not in names:
        raise value.refused(f"must be one of {', '.join(names)}, not {value.kind}")
    return name


def positive(value: Value, unit: str = "") -> float:
    number = value.number()
    if number <= 0:
        raise value.refused(f"must be above 0{unit}, not {value.kind}")
    return number


def seconds(value: Value) -> timedelta:
    number = value.number()
    if not 0 <= number <= MAX_DURATION.total_seconds():
        raise value.refused(f"must be between 0 and {MAX_DURATION.total_seconds():.0f} seconds, not {value.kind}")
    return timedelta(seconds=number)


def port(value: Value) -> int:
    return value.whole(minimum=1, maximum=HIGHEST_PORT)


def ports(value: Value) -> tuple[int, ...]:
    """Read a number, a range `8000-8010`, or a list of both: the ports in the order of the file, without duplicates."""
    if value.empty:
        return ()
    found: dict[int, None] = {}
    for item in value.items() if isinstance(value.data, tuple) else (value,):
        first, dash, last = item.text.partition("-") if isinstance(item.data, str) else ("", "", "")
        if not dash:
            found[port(item)] = None
            continue
        bounds = [port(replace(item, data=text.strip(), text=text)) for text in (first, last)]
        if not bounds[0] <= bounds[1] < bounds[0] + MAX_PORTS:
            raise item.refused(f"must be a range of at most {MAX_PORTS} ports, lowest first, not {item.kind}")
        found |= dict.fromkeys(range(bounds[0], bounds[1] + 1))
    if len(found) > MAX_PORTS:
        raise value.refused(f"opens {len(found)} ports; at most {MAX_PORTS}")
    return tuple(found)
