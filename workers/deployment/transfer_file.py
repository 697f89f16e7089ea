"""PURE: the file of an export: a header with a checksum, and a line of JSON for each part of a key of Redis."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from workers.errors import WorkersError

FORMAT = 1

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
    except (ValueError, msgspec.ValidationError) as error:
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
        return header, [msgspec.convert(json.loads(line), Part) for line in lines]
    except (ValueError, msgspec.ValidationError) as error:
        raise BadExport(f"The file has a line that cannot be read ({error}): nothing was imported.") from error


def _line(value: ExportHeader | Part) -> str:
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))  # escapes lone surrogates, as msgspec does not


def _sum(header: ExportHeader, lines: Sequence[str]) -> str:
    return sha256("\n".join([_line(header), *lines]).encode()).hexdigest()
