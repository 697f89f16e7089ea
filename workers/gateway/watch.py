"""Computes the load that autoscaling uses from HAProxy's counters."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from recipes.replicas import moves
from workers.decision.load import Tally, kept, qps
from workers.deployment.events import DeploymentId
from workers.deployment.loads import Load, Loads
from workers.deployment.state import Deployment
from workers.gateway.holding import Holding
from workers.gateway.table import BackendLoad

FORGET_EVERY = timedelta(minutes=10)


class Watch:
    """Keeps the counters of the last minute in memory; losing them only delays autoscaling."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self._tallies: dict[DeploymentId, tuple[Tally, ...]] = {}
        self._last: dict[DeploymentId, datetime] = {}
        self._forgot_at: datetime | None = None

    def look(
        self, states: Iterable[Deployment], loads: Mapping[str, BackendLoad], holding: Holding, now: datetime
    ) -> None:
        """Write the load of each deployment whose number of replicas may change. Raises RedisError."""
        moving = {s.id for s in states if moves(s.recipe.service.replica_policy)}
        self._tallies = {id_: tallies for id_, tallies in self._tallies.items() if id_ in moving}
        self._loads.write({id_: self._load(id_, loads[id_], holding, now) for id_ in moving if id_ in loads})
        if self._forgot_at is None or now - self._forgot_at > FORGET_EVERY:
            self._forgot_at = now
            self._loads.keep_only(moving)

    def _load(self, id_: DeploymentId, seen: BackendLoad, holding: Holding, now: datetime) -> Load:
        before = self._tallies.get(id_, ())
        tallies = kept(before, Tally(at=now, requests=seen.requests_total))
        self._tallies[id_] = tallies
        if before and seen.requests_total != before[-1].requests and seen.requests_total > 0:
            self._last[id_] = now
        arrivals = holding.arrivals(id_)
        arrived = [at for at in (self._last.get(id_), arrivals.last) if at is not None]
        return Load(
            at=now,
            qps=qps(tallies),
            last_request_at=max(arrived, default=None),
            in_work=seen.sessions + seen.queued,
            held=arrivals.held,
        )
