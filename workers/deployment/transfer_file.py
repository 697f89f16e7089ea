"""PURE: the file of an export: a header with a checksum, and a line of JSON for each part of a key of Redis."""

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal, assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from workers.errors import WorkersError

FORMAT = 1
PREFIX = "mixtral:"
MAX_INTEGER = 2**63
_STREAM_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})", re.ASCII)

Kind = Literal["string", "hash", "zset", "stream"]


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key, or some of its entries. Bytes that are no UTF-8 are lone surrogates."""

    key: str
    kind: Kind
    values: list[tuple[str, ...]]
    """string: (value,); hash: (field, value); zset: (member, score); stream: (id, field, value, …)."""
    expires_at: int | None = None
    """Unix time in milliseconds; None: never."""


class ExportHeader(Struct, frozen=True, kw_only=True):
    """The first line."""

    mixtral_export: int
    """FORMAT of the version that wrote it."""
    version: str
    """Of mixtral-bot."""
    installation: str
    at: datetime
    parts: int
    has_keys: bool
    sha256: str = ""
    """Over this header without it, and over all lines that follow."""


class BadExport(WorkersError):
    """A file is no export, or is not as it was written."""


def written(header: ExportHeader, parts: Sequence[Part]) -> str:
    """The text of the file."""
    lines = [_line(part) for part in parts]
    header = replace(header, parts=len(lines), sha256="")
    signed = replace(header, sha256=_sum(header, lines))
    return "\n".join([_line(signed), *lines, ""])


def read(text: str) -> tuple[ExportHeader, list[Part]]:
    """The header and the parts. Raises BadExport if the file is truncated, was edited, or is of a newer version."""
    first, *lines = text.split("\n")
    try:
        header = msgspec.convert(json.loads(first), ExportHeader)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise BadExport("The file is not an export of mixtral-bot: nothing was imported.") from error
    if header.mixtral_export > FORMAT:
        raise BadExport(
            f"The file was written by mixtral-bot {header.version}, whose format this version cannot read: nothing was "
            "imported. Upgrade mixtral-bot."
        )
    lines = lines[:-1] if lines and lines[-1] == "" else lines
    if len(lines) != header.parts or _sum(replace(header, sha256=""), lines) != header.sha256:
        raise BadExport(
            f"The file is truncated or was edited: it has {len(lines)} of {header.parts} lines, or its checksum is "
            "another one. Nothing was imported. Copy it again, or repeat the export."
        )
    try:
        parts = [msgspec.convert(json.loads(line), Part) for line in lines]
        _check(parts)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise BadExport(f"The file has a line that cannot be read ({error}): nothing was imported.") from error
    return header, parts


def _check(parts: Sequence[Part]) -> None:
    """Raises ValueError for what Redis would refuse: a transaction of Redis keeps what precedes a refused command."""
    kinds: dict[str, Kind] = {}
    last: dict[str, tuple[int, int]] = {}
    for part in parts:
        if not part.key.startswith(PREFIX):
            raise ValueError(f"{part.key[:60]!r} is no key of mixtral-bot")
        if kinds.setdefault(part.key, part.kind) != part.kind:
            raise ValueError(f"{part.key[:60]!r} has two types")
        for row in part.values:
            if not _is_entry(row, part.kind):
                raise ValueError(f"{part.key[:60]!r} has an entry that is no {part.kind}'s")
            if part.kind == "stream":
                ms, _, number = row[0].partition("-")
                at = int(ms), int(number)
                if at <= last.get(part.key, (0, 0)):
                    raise ValueError(f"the entries of {part.key[:60]!r} do not ascend")
                last[part.key] = at
        for text in (part.key, *(text for row in part.values for text in row)):
            text.encode("utf-8", "surrogateescape")
        if part.expires_at is not None and not 0 < part.expires_at < MAX_INTEGER:
            raise ValueError(f"{part.key[:60]!r} expires at no time")


def _is_entry(row: tuple[str, ...], kind: Kind) -> bool:
    match kind:
        case "string":
            return len(row) == 1
        case "hash":
            return len(row) == 2  # noqa: PLR2004 - the field and the value
        case "zset":
            return len(row) == 2 and not math.isnan(float(row[1]))  # noqa: PLR2004 - the member and the score
        case "stream":
            numbers = _STREAM_ID.fullmatch(row[0]) if len(row) > 1 and len(row) % 2 else None
            return numbers is not None and all(int(number) < 2 * MAX_INTEGER for number in numbers.groups())
        case _:
            assert_never(kind)


def _line(value: ExportHeader | Part) -> str:
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))  # escapes lone surrogates, as msgspec does not


def _sum(header: ExportHeader, lines: Sequence[str]) -> str:
    return sha256("\n".join([_line(header), *lines]).encode()).hexdigest()
