"""PURE: from the table that is wanted and what HAProxy has to the commands that lie between."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from workers.deployment.attempt import Attempt, Phase
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.keys import Secrets
from workers.deployment.state import Deployment
from workers.gateway.table import Actual, ReplicaServer, Route, RoutingTable, State

MapName = Literal["keys", "routes", "replica"]


class Layout(Struct, frozen=True, kw_only=True):
    """A table with a place for everything: which backend serves which deployment."""

    size: int
    places: tuple[tuple[str, Route], ...] = ()
    """Backend and route."""


class AddServer(Struct, frozen=True, kw_only=True):
    """Let a replica take requests."""

    backend: str
    name: str
    address: str


class SetState(Struct, frozen=True, kw_only=True):
    """Let a server take requests again, or let it finish those that it has."""

    backend: str
    name: str
    state: State


class RemoveServer(Struct, frozen=True, kw_only=True):
    """Forget a server, and cut what it still has."""

    backend: str
    name: str


class Cut(Struct, frozen=True, kw_only=True):
    """Break off what an older process still has on a server that is dead: it would wait for it for an hour."""

    process: int
    backend: str
    name: str


class Put(Struct, frozen=True, kw_only=True):
    """Write an entry of a map."""

    map: MapName
    entry: str
    value: str
    new: bool
    """Whether HAProxy does not have the entry yet: it would take a second one of the same name."""

    def __repr__(self) -> str:
        return f"Put({self.map})"


class Drop(Struct, frozen=True, kw_only=True):
    """Delete an entry of a map. `process` None: the current one's."""

    map: MapName
    entry: str
    process: int | None = None

    def __repr__(self) -> str:
        return f"Drop({self.map})"


class Reload(Struct, frozen=True, kw_only=True):
    """Have a new process take over, with the table from the files."""

    size: int


Change: TypeAlias = AddServer | SetState | RemoveServer | Cut | Put | Drop | Reload


TAKES: Mapping[Phase, State] = {Phase.READY: "ready", Phase.NOT_READY: "drain", Phase.DRAINING: "drain"}
"""Which phases have a server. One that fails its probe gets nothing new, and finishes what it streams."""


def table_of(states: Iterable[Deployment], secrets: Mapping[DeploymentId, Secrets]) -> RoutingTable:
    """Who may reach what, by the log. A deployment that is to end, or whose secrets are not known, has no route."""
    return RoutingTable(
        routes=tuple(
            Route(
                deployment=state.id,
                servers=tuple(server for a in state.attempts if (server := _server(a))),
                keys=_opening(state, secrets[state.id]),
                replica_key=secrets[state.id].replica,
            )
            for state in states
            if not is_ending(state) and state.id in secrets
        )
    )


def _opening(state: Deployment, secrets: Secrets) -> frozenset[str]:
    """The bot's key, and those of people that the log has not revoked: the log is the truth, not the store of keys."""
    people = (secrets.people.get(key.id) for key in state.keys)
    return frozenset(key for key in (secrets.bot, *people) if key)


def _server(attempt: Attempt) -> ReplicaServer | None:
    takes = TAKES.get(attempt.phase)
    if takes is None or attempt.address is None:
        return None
    address = attempt.address.removeprefix("http://").rstrip("/")
    return ReplicaServer(name=f"r{attempt.number}", address=address, state=takes)


def layout(wanted: RoutingTable, actual: Actual) -> Layout:
    """A backend for each deployment: the one that it has, or one that is neither mapped, peopled nor busy.

    A backend that was freed waits until HAProxy was seen without its servers and requests, so that no
    request of one deployment ever meets a replica of another. Where none is free, the pool doubles.
    """
    held: dict[str, str] = {}
    names = {f"b{n}" for n in range(actual.size)}
    taken: set[str] = set()
    for deployment, backend in actual.routes.items():
        if backend in names and backend not in taken:
            held[deployment] = backend
        taken.add(backend)
    taken.update(s.backend for s in actual.servers)
    taken.update(actual.busy)
    new = [r for r in wanted.routes if r.deployment not in held]
    size = max(actual.size, 1)
    while size - len(taken & names) < len(new):
        size *= 2
        names = {f"b{n}" for n in range(size)}
    free = (f"b{n}" for n in range(size) if f"b{n}" not in taken)
    return Layout(size=size, places=tuple((held.get(r.deployment) or next(free), r) for r in wanted.routes))


def changes(goal: Layout, actual: Actual) -> tuple[Change, ...]:
    """What turns `actual` into `goal`, in an order in which no key opens what it must not at any step.

    What HAProxy may refuse for now (a server whose last connection still closes) turns up again the next time.
    """
    if goal.size != actual.size:  # what is revoked is closed first: the process that is replaced lives on
        return (*_entries_gone(goal, actual), Reload(size=goal.size))
    return (
        *_entries_gone(goal, actual),
        *_dead_in_older(goal, actual),
        *_servers_gone(goal, actual),
        *_servers_there(goal, actual),
        *_entries_there(goal, actual),
    )


def maps(goal: Layout) -> dict[MapName, dict[str, str]]:
    """The entries of each map, complete, in the order in which they are safe to write."""
    return {
        "replica": {route.deployment: route.replica_key for _, route in goal.places},
        "routes": {route.deployment: backend for backend, route in goal.places},
        "keys": {key: route.deployment for _, route in goal.places for key in sorted(route.keys)},
    }


def _has(actual: Actual) -> dict[MapName, Mapping[str, str]]:
    return {"keys": actual.keys, "routes": actual.routes, "replica": actual.replica_keys}


def _entries_gone(goal: Layout, actual: Actual) -> Iterator[Drop]:
    wanted = maps(goal)
    for name, entries in _has(actual).items():
        yield from (Drop(map=name, entry=entry) for entry in entries if entry not in wanted[name])
    for older in actual.older:
        gone = older.keys - wanted["keys"].keys()
        yield from (Drop(map="keys", entry=key, process=older.pid) for key in sorted(gone))


def _dead_in_older(goal: Layout, actual: Actual) -> Iterator[Cut]:
    alive = {server.address for _, route in goal.places for server in route.servers}
    alive -= {server.address for server in actual.servers if not server.up}
    for older in actual.older:
        for server in older.servers:
            if server.sessions and server.address not in alive:
                yield Cut(process=older.pid, backend=server.backend, name=server.name)


def _entries_there(goal: Layout, actual: Actual) -> Iterator[Put]:
    has = _has(actual)
    for name, entries in maps(goal).items():
        for entry, value in entries.items():
            if has[name].get(entry) != value:
                yield Put(map=name, entry=entry, value=value, new=entry not in has[name])


def _wanted(goal: Layout) -> dict[tuple[str, str], ReplicaServer]:
    return {(backend, s.name): s for backend, route in goal.places for s in route.servers}


def _servers_gone(goal: Layout, actual: Actual) -> Iterator[RemoveServer | SetState]:
    wanted = _wanted(goal)
    for server in actual.servers:
        kept = wanted.get((server.backend, server.name))
        if kept is not None and kept.address == server.address:
            continue
        if server.admin == "ready":  # first nothing new: a request that is just being connected would be cut with it
            yield SetState(backend=server.backend, name=server.name, state="drain")
        else:
            yield RemoveServer(backend=server.backend, name=server.name)


def _servers_there(goal: Layout, actual: Actual) -> Iterator[AddServer | SetState]:
    has = {(s.backend, s.name): s for s in actual.servers}
    for (backend, name), server in _wanted(goal).items():
        running = has.get((backend, name))
        if running is None:
            if server.state == "ready":  # one that drains and is not there has nothing left to drain
                yield AddServer(backend=backend, name=name, address=server.address)
        elif running.address == server.address and running.admin != server.state:
            yield SetState(backend=backend, name=name, state=server.state)


def drained(wanted: RoutingTable, actual: Actual) -> frozenset[tuple[str, str]]:
    """(deployment, server's name) of those that drain and have no request left in any process."""
    if not all(older.answers for older in actual.older):
        return frozenset()
    has = {(s.backend, s.name): s for s in actual.servers}
    idle = []
    for route in wanted.routes:
        for server in route.servers:
            if server.state != "drain":
                continue
            running = has.get((actual.routes.get(route.deployment, ""), server.name))
            here = running is None or (running.admin != "ready" and running.sessions == 0)
            older = (old for process in actual.older for old in process.servers if old.address == server.address)
            if here and not any(old.sessions for old in older):
                idle.append((route.deployment, server.name))
    return frozenset(idle)
