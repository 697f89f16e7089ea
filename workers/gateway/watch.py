"""Writes for the worker what HAProxy reports: the load for autoscaling, and which replicas answer requests."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from workers.decision.load import STALE, Tally, kept, qps
from workers.deployment.events import DeploymentId
from workers.deployment.loads import Load, Loads, ReplicaLoad
from workers.gateway.flow import Flow
from workers.gateway.holding import Holding
from workers.gateway.table import Actual, BackendLoad, ReplicaServer, RoutingTable

WRITE_EVERY = 0.5
"""Minimum time between two writes, in seconds: while a replica drains, HAProxy is read several times a second."""

FORGET_EVERY = 600.0
"""Interval between two removals of the loads of deployments that have ended, in seconds."""


class Watch:
    """Keeps the counters of the last minute in memory; losing them only delays autoscaling."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self._tallies: dict[DeploymentId, tuple[Tally, ...]] = {}
        self._last: dict[DeploymentId, datetime] = {}
        """The arrival of the newest request of each deployment."""
        self._held: dict[DeploymentId, float] = {}
        """The same of those that were held, by `time.monotonic`."""
        self._wrote_at = -math.inf
        self._forgot_at = -math.inf

    def look(self, table: RoutingTable, actual: Actual, flow: Flow, holding: Holding, now: datetime) -> None:
        """Write the load of each deployment. Raises RedisError."""
        tick = time.monotonic()
        if tick - self._wrote_at < WRITE_EVERY:
            return
        self._wrote_at = tick
        servers = {DeploymentId(route.deployment): route.servers for route in table.routes}
        self._tallies = {id_: tallies for id_, tallies in self._tallies.items() if id_ in servers}
        self._last = {id_: at for id_, at in self._last.items() if id_ in servers}
        self._held = {id_: at for id_, at in self._held.items() if id_ in servers}
        holding.keep_only(servers)
        replicas = _replicas(actual, flow, tick)
        self._loads.write(
            {
                id_: self._load(id_, actual.loads[id_], _of(servers[id_], replicas), holding, (now, tick))
                for id_ in servers
                if id_ in actual.loads
            }
        )
        if tick - self._forgot_at > FORGET_EVERY:
            self._forgot_at = tick
            self._loads.keep_only(servers)

    def _load(
        self,
        id_: DeploymentId,
        seen: BackendLoad,
        replicas: dict[int, ReplicaLoad],
        holding: Holding,
        times: tuple[datetime, float],
    ) -> Load:
        now, tick = times
        before = self._tallies.get(id_, ())
        tallies = kept(before, Tally(at=now, requests=seen.requests_total))
        self._tallies[id_] = tallies
        if before and seen.requests_total != before[-1].requests and seen.requests_total > 0:
            self._last[id_] = now
        arrivals = holding.arrivals(id_)
        if arrivals.last is not None and arrivals.last != self._held.get(id_):
            self._held[id_] = arrivals.last
            # Once, because the two clocks drift: the time of a request must not change.
            self._last[id_] = now - timedelta(seconds=tick - arrivals.last)
        last = self._last.get(id_)
        # One that is later than now, by a clock that was ahead, would hide every request until then.
        is_ahead = last is not None and last - now > STALE
        return Load(
            at=now,
            qps=qps(tallies),
            last_request_at=None if is_ahead else last,
            in_work=seen.sessions + seen.queued,
            held=arrivals.held,
            replicas=replicas,
        )


def _replicas(actual: Actual, flow: Flow, now: float) -> dict[str, ReplicaLoad]:
    """Loads by address. Requests of older HAProxy processes are included."""
    sessions = Counter({s.address: s.sessions for s in actual.servers})
    for older in actual.older:
        sessions.update({s.address: s.sessions for s in older.servers})
    return {
        s.address: ReplicaLoad(up=s.up, requests=sessions[s.address], idle=flow.idle(s.address, now))
        for s in actual.servers
    }


def _of(servers: Iterable[ReplicaServer], replicas: Mapping[str, ReplicaLoad]) -> dict[int, ReplicaLoad]:
    """The replicas with these servers, by the number of their attempt, which is in the server's name."""
    return {int(s.name[1:]): replicas[s.address] for s in servers if s.address in replicas}
