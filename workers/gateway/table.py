"""PURE: who may reach which replica (the table that is wanted), and what HAProxy has of it."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

State = Literal["ready", "drain"]
Admin = Literal["ready", "drain", "maint"]


class ReplicaServer(Struct, frozen=True, kw_only=True):
    """A replica that takes requests, or (`drain`) only answers those that it has."""

    name: str
    """`r3` for attempt 3: never used twice in a deployment."""
    address: str
    """`host:port`, the host an IP address."""
    state: State = "ready"


class Route(Struct, frozen=True, kw_only=True):
    """What one deployment's keys open. A deployment without servers keeps its route: its requests are held."""

    deployment: str
    servers: tuple[ReplicaServer, ...] = ()
    keys: frozenset[str] = frozenset()
    """Whoever shows one of these gets in."""
    replica_key: str
    """What the replicas themselves ask for."""

    def __repr__(self) -> str:  # keys never enter a log line
        return f"Route({self.deployment}, {self.servers}, {len(self.keys)} keys)"


class RoutingTable(Struct, frozen=True, kw_only=True):
    """All routes, one a deployment."""

    routes: tuple[Route, ...] = ()


class ActualServer(Struct, frozen=True, kw_only=True):
    """A server as one HAProxy process has it."""

    backend: str
    name: str
    address: str
    admin: Admin = "ready"
    up: bool = True
    """Whether its health check passes."""
    sessions: int = 0
    """Requests that it has or that queue for it."""
    number: int = 0
    """HAProxy's own id of it, unique in the backend."""


class BackendLoad(Struct, frozen=True, kw_only=True):
    """What one deployment's clients ask for, as the newest HAProxy process counts it."""

    requests_total: int
    """Grows; begins anew at 0 with every start and reload of HAProxy."""
    sessions: int
    """Requests that replicas are answering."""
    queued: int
    held: int
    """Requests that wait for a first replica."""


class Older(Struct, frozen=True, kw_only=True):
    """A process that a reload has replaced: it goes on with what it has begun, and checks nobody's health."""

    pid: int
    servers: tuple[ActualServer, ...] = ()
    keys: frozenset[str] = frozenset()
    """A connection that is kept may still ask here."""
    answers: bool = True
    """Where it does not, nobody knows what it has."""

    def __repr__(self) -> str:
        return f"Older({self.pid}, {self.servers}, {len(self.keys)} keys)"


class Actual(Struct, frozen=True, kw_only=True):
    """What HAProxy has in memory."""

    size: int
    """How many backends there are: b0 … b<size-1>."""
    servers: tuple[ActualServer, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key to deployment."""
    routes: Mapping[str, str] = field(default_factory=dict)
    """Deployment to backend."""
    replica_keys: Mapping[str, str] = field(default_factory=dict)
    """Deployment to its replicas' own key."""
    busy: Mapping[str, int] = field(default_factory=dict)
    """Backend to its requests, those on hold included; only those that have some."""
    loads: Mapping[str, BackendLoad] = field(default_factory=dict)
    """By deployment; only those that have a backend."""
    older: tuple[Older, ...] = ()

    @property
    def serving(self) -> frozenset[str]:
        """The deployments of which a replica takes requests and answers its checks."""
        backends = {s.backend for s in self.servers if s.admin == "ready" and s.up}
        return frozenset(deployment for deployment, backend in self.routes.items() if backend in backends)

    def __repr__(self) -> str:
        return f"Actual({self.size}, {self.servers}, {len(self.keys)} keys, {dict(self.routes)}, {self.older})"
