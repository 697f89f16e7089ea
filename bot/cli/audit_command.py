"""`mixtral-bot audit`: who did what, where, why and with which outcome; whether an entry is missing."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TextIO

from msgspec import MsgspecError
from redis.exceptions import RedisError

from workers.deployment.audit import AuditEntry, decode
from workers.deployment.audit_stream import AuditStream
from workers.redis_failures import failure_of
from workers.run import connect
from workers.settings import from_environ

MISSING = (
    "mixtral-bot: the audit is not complete; these entries are missing: {ranges}. They were deleted, or Redis lost "
    "them: compare with a backup of Redis.\n"
)


def run(
    environ: Mapping[str, str],
    out: TextIO,
    err: TextIO,
    *,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> int:
    """Print the entries between two times, and return 0; return 1 with a line on `err` if some are missing.

    Whether some are missing is checked over all that are kept.
    """
    try:
        audit = AuditStream(connect(from_environ(environ).redis_url))
        missing = audit.missing()
        found = _between(audit.read(), since, until)
        if as_json:
            out.writelines(json.dumps({"id": f"{number}-0", **_as_json(raw)}) + "\n" for number, raw, _ in found)
        else:
            _print(out, found)
    except RedisError as error:
        err.write(f"mixtral-bot: {failure_of(error).report()}\n")
        return 1
    if missing:
        ranges = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in missing)
        err.write(MISSING.format(ranges=ranges))
    return 1 if missing else 0


def _between(
    entries: Iterator[tuple[int, bytes]], since: datetime | None, until: datetime | None
) -> Iterator[tuple[int, bytes, AuditEntry | None]]:
    """The entries of a time; also those that this version cannot read."""
    for number, raw in entries:
        try:
            entry = decode(raw)
        except MsgspecError:
            yield number, raw, None
            continue
        if (since is None or entry.at >= since) and (until is None or entry.at < until):
            yield number, raw, entry


def _as_json(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return {"unreadable": raw.decode(errors="replace")}
    return {"outcome": "done"} | found


LINE = "{:>8}  {:<19}  {:<14} {:<18} {:<8} {:<13} {:<16} {}"
HEADINGS = LINE.format("id", "time (UTC)", "who", "what", "outcome", "where", "deployment", "detail")


def _print(out: TextIO, found: Iterator[tuple[int, bytes, AuditEntry | None]]) -> None:
    names: dict[str, str] = {}
    is_empty = True
    for number, _, entry in found:
        if is_empty:
            out.write(f"{HEADINGS}\n")
            is_empty = False
        out.write(f"{_line(number, entry, names).rstrip()}\n")
    if is_empty:
        out.write("The audit has no entry of this time.\n")


def _line(number: int, entry: AuditEntry | None, names: dict[str, str]) -> str:
    """`names`: of deployments whose launches were printed, by their ids."""
    if entry is None:
        return f"{number}-0".rjust(8) + "  not readable by this version"
    if entry.name:
        names[entry.deployment] = entry.name
    detail = "; ".join(filter(None, (entry.how and f"by {entry.how}", entry.detail, entry.why)))
    name = names.get(entry.deployment, entry.deployment)
    who, when = entry.who or "nobody", f"{entry.at:%Y-%m-%d %H:%M:%S}"
    line = LINE.format(f"{number}-0", when, who, entry.what, entry.outcome.value, entry.where, name, detail)
    return "".join(c if c.isprintable() else " " for c in line)
