"""PURE: computes the changes from HAProxy's present state to the wanted routing table."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from workers.deployment.attempt import Attempt, Phase
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId
from workers.deployment.keys import Secrets
from workers.deployment.state import Deployment
from workers.gateway.table import Actual, ActualServer, ReplicaServer, Route, RoutingTable, State
from workers.policy.key_limits import KeyLimits

MapName = Literal["keys", "routes", "replica", "ids", "limits"]


class Layout(Struct, frozen=True, kw_only=True):
    """A routing table with a backend for each deployment."""

    size: int
    places: tuple[tuple[str, Route], ...] = ()
    """Pairs of backend and route."""


class AddServer(Struct, frozen=True, kw_only=True):
    """Add a server that takes requests. `Trust` follows in the next round."""

    backend: str
    name: str
    address: str
    patience: timedelta


class SetState(Struct, frozen=True, kw_only=True):
    """Make a server take requests again, or drain it."""

    backend: str
    name: str
    state: State


class Trust(Struct, frozen=True, kw_only=True):
    """Give a server that is up its full patience.

    HAProxy counts a server as down at its first failed check, until one check has passed. And a server whose answers
    grow works, even if it does not answer its checks.
    """

    backend: str
    name: str


class RemoveServer(Struct, frozen=True, kw_only=True):
    """Remove a server, and end its remaining requests."""

    backend: str
    name: str


class Cut(Struct, frozen=True, kw_only=True):
    """End the requests on a server that is down, in the process with the id `process`; None: in the current one."""

    process: int | None = None
    backend: str
    name: str


class Put(Struct, frozen=True, kw_only=True):
    """Write an entry of a map."""

    map: MapName
    entry: str
    value: str
    new: bool
    """Whether the entry is missing. Adding an existing entry would create a duplicate."""

    def __repr__(self) -> str:
        return f"Put({self.map})"


class Drop(Struct, frozen=True, kw_only=True):
    """Delete an entry of a map, in the process with the id `process` or, if that is None, in the current one."""

    map: MapName
    entry: str
    process: int | None = None

    def __repr__(self) -> str:
        return f"Drop({self.map})"


class EndStreams(Struct, frozen=True, kw_only=True):
    """End the requests of revoked keys, in the process with the id `process`; None: in the current one."""

    keys: frozenset[str]
    """Each is `<deployment>/<id of the key>`."""
    process: int | None = None


class Reload(Struct, frozen=True, kw_only=True):
    """Replace the current process with one that reads the table from the files."""

    size: int


Change: TypeAlias = AddServer | SetState | Trust | RemoveServer | Cut | Put | Drop | EndStreams | Reload


SERVER_STATES: Mapping[Phase, State] = {Phase.READY: "ready", Phase.NOT_READY: "drain", Phase.DRAINING: "drain"}
"""Phases whose attempts have a server. A replica that fails its probe takes no new request and finishes its streams."""


CONNECTS_WITHIN = 2
"""Seconds after which HAProxy gives up a connection to a server (`timeout connect`)."""

UNCHANGED = KeyLimits()


def table_of(
    states: Iterable[Deployment], secrets: Mapping[DeploymentId, Secrets], limits: KeyLimits = UNCHANGED
) -> RoutingTable:
    """The wanted routing table, by the log. A deployment that is ending, or has no secrets, gets no route."""
    return RoutingTable(
        routes=tuple(
            _route(state, secrets[state.id], limits) for state in states if not is_ending(state) and state.id in secrets
        )
    )


def _route(state: Deployment, secrets: Secrets, limits: KeyLimits) -> Route:
    servers = tuple(server for a in state.attempts if (server := _server(state, a)))
    return Route(
        deployment=state.id,
        servers=servers,
        keys=_valid_keys(state, secrets),
        replica_key=secrets.replica,
        ids={key: key_.id for key_ in state.keys if (key := secrets.people.get(key_.id))},
        limits=limits.numbers(sum(server.state == "ready" for server in servers)),
    )


def _valid_keys(state: Deployment, secrets: Secrets) -> frozenset[str]:
    """The bot's key, and the people's keys that are not revoked according to the log, whatever the store contains."""
    people = (secrets.people.get(key.id) for key in state.keys)
    return frozenset(key for key in (secrets.bot, *people) if key)


def _server(deployment: Deployment, attempt: Attempt) -> ReplicaServer | None:
    state = SERVER_STATES.get(attempt.phase)
    if state is None or attempt.address is None:
        return None
    address = attempt.address.removeprefix("http://").rstrip("/")
    patience = deployment.recipe.service.readiness_probe.timeout
    return ReplicaServer(name=f"r{attempt.number}", address=address, state=state, patience=patience)


def layout(wanted: RoutingTable, actual: Actual) -> Layout:
    """Assign a backend to each deployment: its present one, or one without a map entry, servers and requests.

    A freed backend is reused only when HAProxy has none of its servers and requests left, so that no request of one
    deployment reaches a replica of another. If no backend is free, the pool doubles.
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


def changes(goal: Layout, actual: Actual, flowing: Collection[str] = ()) -> tuple[Change, ...]:
    """The changes from `actual` to `goal`, in an order in which no key gives access to a wrong deployment at any step.

    `flowing`: addresses of the replicas whose answers grew a moment ago.
    A change that HAProxy refuses (removing a server whose last connection is closing) is returned again next time.
    """
    return (*closing(goal, actual), *opening(goal, actual, flowing))


def closing(goal: Layout, actual: Actual) -> tuple[Change, ...]:
    """The changes that take something away: keys, their streams, and servers. They come before all others."""
    if goal.size != actual.size:  # a replaced process still accepts requests
        return tuple(_entries_gone(goal, actual))
    return (*_entries_gone(goal, actual), *_dead(actual), *_dead_in_older(goal, actual), *_servers_gone(goal, actual))


def opening(goal: Layout, actual: Actual, flowing: Collection[str] = ()) -> tuple[Change, ...]:
    """All other changes."""
    if goal.size != actual.size:
        return (Reload(size=goal.size),)
    return (*_servers_there(goal, actual), *_trusted(actual, flowing), *_entries_there(goal, actual))


def part(goal: Layout, actual: Actual, deployments: Collection[str]) -> tuple[Layout, Actual]:
    """What is wanted for some deployments, and what HAProxy has of them, without older processes."""
    places = tuple(place for place in goal.places if place[1].deployment in deployments)
    backends = {backend for backend, _ in places}
    backends |= {backend for deployment, backend in actual.routes.items() if deployment in deployments}
    return replace(goal, places=places), replace(
        actual,
        servers=tuple(server for server in actual.servers if server.backend in backends),
        keys={key: deployment for key, deployment in actual.keys.items() if deployment in deployments},
        routes={deployment: backend for deployment, backend in actual.routes.items() if deployment in deployments},
        replica_keys={d: key for d, key in actual.replica_keys.items() if d in deployments},
        ids={key: id_ for key, id_ in actual.ids.items() if id_.partition("/")[0] in deployments},
        limits={name: most for name, most in actual.limits.items() if name.partition("/")[0] in deployments},
        older=(),
    )


def after(actual: Actual, applied: Collection[Change]) -> Actual:
    """What HAProxy has after changes, as far as it is known without asking: servers that were removed may remain."""
    has = {name: dict(entries) for name, entries in _has(actual).items()}
    servers = {(server.backend, server.name): server for server in actual.servers}
    for change in applied:
        match change:
            case Put(map=name, entry=entry, value=value):
                has[name][entry] = value
            case Drop(map=name, entry=entry, process=None):
                has[name].pop(entry, None)
            case AddServer(backend=backend, name=server, address=address):
                new = ActualServer(backend=backend, name=server, address=address, up=False)
                servers[backend, server] = new
            case SetState(backend=backend, name=server, state=state):
                servers[backend, server] = replace(servers[backend, server], admin=state)
            case RemoveServer(backend=backend, name=server):
                servers[backend, server] = replace(servers[backend, server], admin="maint")
            case _:
                continue
    return replace(
        actual,
        keys=has["keys"],
        routes=has["routes"],
        replica_keys=has["replica"],
        ids=has["ids"],
        limits=has["limits"],
        servers=tuple(servers.values()),
    )


def maps(goal: Layout) -> dict[MapName, dict[str, str]]:
    """All entries of each map, by map, in an order in which they are safe to write."""
    return {
        "replica": {route.deployment: route.replica_key for _, route in goal.places},
        "routes": {route.deployment: backend for backend, route in goal.places},
        "limits": {f"{r.deployment}/{name}": str(most) for _, r in goal.places for name, most in r.limits.items()},
        "ids": {key: f"{r.deployment}/{id_}" for _, r in goal.places for key, id_ in sorted(r.ids.items())},
        "keys": {key: route.deployment for _, route in goal.places for key in sorted(route.keys)},
    }


def _has(actual: Actual) -> dict[MapName, Mapping[str, str]]:
    return {
        "keys": actual.keys,
        "routes": actual.routes,
        "replica": actual.replica_keys,
        "ids": actual.ids,
        "limits": actual.limits,
    }


def _entries_gone(goal: Layout, actual: Actual) -> Iterator[Drop | EndStreams]:
    """An id is dropped after the streams of its key have ended: until then it names them, also after a crash."""
    wanted = maps(goal)
    for name, entries in _has(actual).items():
        if name == "ids":
            yield from _streams_of(actual.ids, wanted["ids"])
        yield from (Drop(map=name, entry=entry) for entry in entries if entry not in wanted[name])
    for older in actual.older:
        gone = older.keys - wanted["keys"].keys()
        yield from (Drop(map="keys", entry=key, process=older.pid) for key in sorted(gone))
        yield from _streams_of(older.ids, wanted["ids"], older.pid)
        yield from (Drop(map="ids", entry=k, process=older.pid) for k in older.ids if k not in wanted["ids"])


def _streams_of(ids: Mapping[str, str], wanted: Mapping[str, str], process: int | None = None) -> Iterator[EndStreams]:
    if gone := frozenset(id_ for key, id_ in ids.items() if key not in wanted):
        yield EndStreams(keys=gone, process=process)


def _dead(actual: Actual) -> Iterator[Cut]:
    """Servers whose requests all wait for an answer: those that were about to connect have gone to other servers.

    HAProxy drops a request that is ended between its refused connection and the next server.
    """
    for server in actual.servers:
        if server.sessions and server.down_for > CONNECTS_WITHIN:
            yield Cut(backend=server.backend, name=server.name)


def _dead_in_older(goal: Layout, actual: Actual) -> Iterator[Cut]:
    alive = {server.address for _, route in goal.places for server in route.servers}
    alive -= {server.address for server in actual.servers if not (server.up or server.stopping)}
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
        if server.admin == "ready":  # drain first: removal would end a request that is connecting
            yield SetState(backend=server.backend, name=server.name, state="drain")
        else:
            yield RemoveServer(backend=server.backend, name=server.name)


def _servers_there(goal: Layout, actual: Actual) -> Iterator[AddServer | SetState]:
    has = {(s.backend, s.name): s for s in actual.servers}
    for (backend, name), server in _wanted(goal).items():
        running = has.get((backend, name))
        if running is None:
            if server.state == "ready":  # a draining server that HAProxy does not have has no requests
                yield AddServer(backend=backend, name=name, address=server.address, patience=server.patience)
        elif running.address == server.address and running.admin != server.state:
            yield SetState(backend=backend, name=name, state=server.state)


def _trusted(actual: Actual, flowing: Collection[str]) -> Iterator[Trust]:
    for server in actual.servers:
        if server.up and (server.doubt == "new" or (server.doubt == "silent" and server.address in flowing)):
            yield Trust(backend=server.backend, name=server.name)


def drained(wanted: RoutingTable, actual: Actual) -> frozenset[tuple[str, str]]:
    """Deployment and server name of each draining server without requests in any process."""
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
