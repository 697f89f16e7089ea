"""PURE: the parser of a command's words and flags; unlike the standard library's it neither prints nor exits."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from bot.language.values import InvalidValue, Options, quoted

SWITCHES = frozenset({"--spot"})
"""Flags that take no value."""

REPEATED = frozenset({"--env"})
"""Flags that may be given more than once."""


def read(words: Sequence[str], known: Sequence[str]) -> Options:
    """Separate words from flags. Raises InvalidValue for a flag that is unknown, repeated, or without its value."""
    plain: list[str] = []
    flags: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("--") or word == "--":
            plain.append(word)
            continue
        flag, equals, value = word.partition("=")
        flag = flag.lower()
        _check(flag, known, [given for given, _ in flags])
        flags.append((flag, value if equals else _value(flag, rest)))
    return Options(words=tuple(plain), flags=tuple(flags))


def _check(flag: str, known: Sequence[str], given: Sequence[str]) -> None:
    if flag not in known:
        close = next(iter(get_close_matches(flag, known, n=1)), None)
        hint = f" Did you mean `{close}`?" if close else ""
        raise InvalidValue(f"There is no option {quoted(flag)} here.{hint}")
    if flag in given and flag not in REPEATED:
        raise InvalidValue(f"{flag} is given twice. Leave one of them out.")


def _value(flag: str, rest: Iterator[str]) -> str:
    if flag in SWITCHES:
        return ""
    value = next(rest, None)
    if value is None or value.startswith("--"):
        raise InvalidValue(f"{flag} needs a value after it.")
    return value
