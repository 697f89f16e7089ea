"""PURE: the types of the wanted routing table, and of what HAProxy has in memory."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from msgspec import Struct, field

State = Literal["ready", "drain"]
Admin = Literal["ready", "drain", "maint"]
Doubt = Literal["new", "silent"]
"""Why a server that is up has less than its full patience: no check has ended yet, or its last checks got no answer."""


class ReplicaServer(Struct, frozen=True, kw_only=True):
    """A replica that takes requests or, in the state `drain`, only finishes those that it has."""

    name: str
    """`r3` for attempt 3; never reused in a deployment."""
    address: str
    """`host:port`, where the host is an IP address."""
    state: State = "ready"
    patience: timedelta = timedelta(seconds=15)
    """Minimum time without an answer to a health check after which it counts as down: the readiness probe's timeout."""


class Route(Struct, frozen=True, kw_only=True):
    """One deployment's keys and servers. Without servers the route stays, and its requests are held."""

    deployment: str
    servers: tuple[ReplicaServer, ...] = ()
    keys: frozenset[str] = frozenset()
    """The keys that clients may use."""
    replica_key: str
    """The key that the replicas themselves require."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Id of each key whose use is limited and counted, by the key. The bot's own key has none."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """How much each of those keys may use, by the fields of `KeyLimits`; what is missing is not limited."""

    def __repr__(self) -> str:  # a log line must not contain keys
        return f"Route({self.deployment}, {self.servers}, {len(self.keys)} keys)"


class RoutingTable(Struct, frozen=True, kw_only=True):
    """All routes, one per deployment."""

    routes: tuple[Route, ...] = ()


class ActualServer(Struct, frozen=True, kw_only=True):
    """A server as one HAProxy process has it."""

    backend: str
    name: str
    address: str
    admin: Admin = "ready"
    up: bool = True
    """Whether its health check passes."""
    stopping: bool = False
    """Whether it answers its health check with a server error: it gets no new request, and its streams go on."""
    down_for: int = 0
    """Seconds since it is down; 0 if it is up."""
    sessions: int = 0
    """Number of requests that it is answering or that are queued for it."""
    number: int = 0
    """HAProxy's id of the server, unique in the backend."""
    doubt: Doubt | None = None
    sent: int = 0
    """Bytes of its answers since the process started; HAProxy counts those of an open stream every 5 s."""


class KeyUse(Struct, frozen=True, kw_only=True):
    """The use of one key, as counted by the newest HAProxy process."""

    ago: timedelta
    """Time since its last request arrived, or since that request's answer ended."""
    at_once: int
    """Requests that wait for their answer or receive it."""
    admitted: int
    """Requests that were within the limits, while HAProxy has counted it without a pause."""
    refused: int


class BackendLoad(Struct, frozen=True, kw_only=True):
    """Number of requests of one deployment, as counted by the newest HAProxy process."""

    requests_total: int
    """Requests since the last start or reload of HAProxy."""
    sessions: int
    """Requests that replicas are answering."""
    queued: int
    held: int
    """Requests on hold until a replica is up."""


class Older(Struct, frozen=True, kw_only=True):
    """A process that a reload has replaced: it finishes its requests, and runs no health checks."""

    pid: int
    servers: tuple[ActualServer, ...] = ()
    keys: frozenset[str] = frozenset()
    """The keys that it accepts on connections that are still open."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """As those of `Actual`."""
    answers: bool = True
    """Whether it answers commands; if not, its requests are not known."""

    def __repr__(self) -> str:
        return f"Older({self.pid}, {self.servers}, {len(self.keys)} keys)"


class Actual(Struct, frozen=True, kw_only=True):
    """What HAProxy has in memory."""

    size: int
    """Number of backends, which are named b0 … b<size-1>."""
    servers: tuple[ActualServer, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key to deployment."""
    routes: Mapping[str, str] = field(default_factory=dict)
    """Deployment to backend."""
    replica_keys: Mapping[str, str] = field(default_factory=dict)
    """Deployment to the key that its replicas require."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """Key to `<deployment>/<id of the key>`, under which its use is counted."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """`<deployment>/<field of KeyLimits>` to number."""
    busy: Mapping[str, int] = field(default_factory=dict)
    """Backend to its number of requests, including those on hold; without idle backends."""
    loads: Mapping[str, BackendLoad] = field(default_factory=dict)
    """Deployment to its load; only those that have a backend."""
    older: tuple[Older, ...] = ()

    @property
    def serving(self) -> frozenset[str]:
        """The deployments with a replica that takes requests and passes its health checks."""
        backends = {s.backend for s in self.servers if s.admin == "ready" and s.up}
        return frozenset(deployment for deployment, backend in self.routes.items() if backend in backends)

    def __repr__(self) -> str:
        return f"Actual({self.size}, {self.servers}, {len(self.keys)} keys, {dict(self.routes)}, {self.older})"
