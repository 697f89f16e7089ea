"""PURE: parses the answers of HAProxy's command line."""

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from operator import itemgetter
from zlib import crc32

from workers.gateway.config import HOLD
from workers.gateway.table import ActualServer, Admin, BackendLoad, Doubt, KeyUse

Row = Mapping[str, str]
"""A line of `show stat`: value by column name."""

Place = tuple[str, str]
"""Backend and server."""

MAINT, DRAIN = 0x07, 0x18
"""Bit masks of srv_admin_state: all ways into maintenance, all ways into drain."""


_COLUMNS = (
    *("pxname", "svname", "qcur", "scur", "stot", "bout", "status", "lastchg", "sid"),
    *("check_status", "check_rise", "check_fall", "check_health", "addr"),
)


def stat(text: str) -> list[Row]:
    """The lines of `show stat` about the deployments' backends; empty if the process is ending."""
    table = text.removeprefix("# ")
    if not table.startswith("pxname,"):
        return []
    lines = csv.reader(table.splitlines())
    names = next(lines)
    columns = [name for name in names if name in _COLUMNS]  # 13 of about 100
    wanted = itemgetter(*(names.index(column) for column in columns))
    return [dict(zip(columns, wanted(line), strict=True)) for line in lines if line and line[0].startswith("b")]


def admin_states(text: str) -> dict[Place, Admin] | None:
    """Admin state of each server in `show servers state`; None if the process is ending."""
    lines = text.splitlines()
    names = next((line[2:].split() for line in lines if line.startswith("# ")), None)
    if names is None:
        return None
    backend, server, state = (names.index(name) for name in ("be_name", "srv_name", "srv_admin_state"))
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {(row[backend], row[server]): _admin(int(row[state])) for row in rows if len(row) > state}


def entries(text: str) -> dict[str, str]:
    """Value by key in `show map`, whose lines have a pointer, a key and a value."""
    lines = (line.split() for line in text.splitlines())
    return {parts[1]: parts[2] for parts in lines if len(parts) == 3}  # noqa: PLR2004 - see above


_USE_FIELDS = {"key", "use", "exp", "conn_cur", "gpc0", "gpc1"}


def key_uses(text: str, kept: timedelta) -> dict[str, KeyUse]:
    """Use of each key in `show table`; HAProxy deletes an entry when it was not used for the time `kept`.

    Lines without all fields are left out, as of a table that another version of the gateway configured.
    """
    found = (dict(part.split("=", 1) for part in line.split() if "=" in part) for line in text.splitlines())
    return {entry["key"]: _key_use(entry, kept) for entry in found if entry.keys() >= _USE_FIELDS}


def _key_use(entry: Mapping[str, str], kept: timedelta) -> KeyUse:
    ago = timedelta() if int(entry["use"]) else kept - timedelta(milliseconds=int(entry["exp"]))
    return KeyUse(
        ago=max(ago, timedelta()),
        at_once=int(entry["conn_cur"]),
        admitted=int(entry["gpc0"]),
        refused=int(entry["gpc1"]),
    )


def wrong_keys(text: str) -> dict[str, int]:
    """Number of wrong keys by source, in `show table`; a source is an IPv4 address, or the network of an IPv6 one."""
    found = re.findall(r" key=(\S+) .*\bgpc0=(\d+)", text)
    return {_source(address): int(number) for address, number in found}


def holders(text: str) -> list[tuple[str, int]]:
    """The sources in `show table`, as HAProxy writes them, and the number of the key that each showed last.

    An HAProxy that an earlier version configured has no numbers: each source gets one of its own, until it shows a key.
    """
    found = re.findall(r" key=([0-9a-f:.]+) (?:.*\bgpt0=(\d+))?", text)
    return [(source, int(key) if key else crc32(source.encode()) or 1) for source, key in found]


def _source(address: str) -> str:
    return address.removeprefix("::ffff:") if "." in address else f"{address}/64"


def sessions_on(text: str, backend: str, server: str) -> list[str]:
    """The ids of the sessions in `show sess` that are on this server."""
    place = re.compile(rf"^(0x\w+): .* be={re.escape(backend)} srv={re.escape(server)} ", re.MULTILINE)
    return place.findall(text)


def clients_of(text: str, keys: Collection[str]) -> frozenset[str]:
    """`address:port` of the clients with a request of these keys (`<deployment>/<id>`), in `show table`."""
    found = re.findall(r" key=(\S+)/(\S+) .*\bconn_cur=([1-9])", text)
    return frozenset(client for key, client, _ in found if key in keys)


def sessions_from(text: str, clients: Collection[str]) -> list[str]:
    """The ids of the sessions in `show sess` whose clients are among these."""
    found = re.findall(r"^(0x\w+): .* src=(\S+) ", text, re.MULTILINE)
    return [session for session, client in found if client in clients]


def servers(rows: list[Row], admin: Mapping[Place, Admin]) -> Iterator[ActualServer]:
    """Every replica's server; the holding server is left out."""
    for row in rows:
        place = (row["pxname"], row["svname"])
        if row["svname"] not in (HOLD, "BACKEND") and place in admin:
            yield ActualServer(
                backend=row["pxname"],
                name=row["svname"],
                address=row["addr"],
                admin=admin[place],
                up=row["status"].startswith(("UP", "DRAIN", "no check")),
                down_for=int(row.get("lastchg") or 0) if row["status"].startswith("DOWN") else 0,
                stopping=row["status"].startswith("NOLB"),
                sessions=_sessions(row),
                number=int(row["sid"]),
                doubt=_doubt(row),
                sent=int(row.get("bout") or 0),
            )


def backends(rows: list[Row]) -> dict[str, int]:
    """Number of requests of each backend, including those on hold."""
    return {row["pxname"]: _sessions(row) for row in rows if row["svname"] == "BACKEND"}


def loads(rows: list[Row], routes: Mapping[str, str]) -> dict[str, BackendLoad]:
    """Load of each deployment in `routes` whose backend is in `rows`."""
    by_backend: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_backend[row["pxname"]][row["svname"]] = row
    return {deployment: _load(by_backend[b]) for deployment, b in routes.items() if b in by_backend}


def _load(by_server: Mapping[str, Row]) -> BackendLoad:
    replicas = [row for name, row in by_server.items() if name not in (HOLD, "BACKEND")]
    return BackendLoad(
        requests_total=int(by_server["BACKEND"]["stot"] or 0),
        sessions=sum(int(row["scur"] or 0) for row in replicas),
        queued=int(by_server["BACKEND"]["qcur"] or 0),
        held=_sessions(by_server[HOLD]),
    )


def _sessions(row: Row) -> int:
    return int(row["scur"] or 0) + int(row["qcur"] or 0)


def _doubt(row: Row) -> Doubt | None:
    """Why a server that is up has less than its full patience; None if it has all of it, or is down."""
    health, rise, fall = (int(row.get(name) or 0) for name in ("check_health", "check_rise", "check_fall"))
    if not rise <= health < rise + fall - 1:
        return None
    result = row["check_status"].removeprefix("* ")
    if result == "INI":
        return "new"
    return "silent" if result.endswith("TOUT") else None


def _admin(bits: int) -> Admin:
    if bits & MAINT:
        return "maint"
    return "drain" if bits & DRAIN else "ready"
