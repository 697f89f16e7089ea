"""The gateway's loop: reads the log, updates HAProxy to the logged state, and records the results."""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from msgspec import MsgspecError, Struct
from redis.exceptions import RedisError

from workers.decision.verdict import FLOWS_WITHIN
from workers.deployment.attempt import Phase
from workers.deployment.condition import is_ending
from workers.deployment.events import DeploymentId, EndpointPublished, ReplicaDrained
from workers.deployment.gateway_notices import GatewayNotices
from workers.deployment.key_uses import KeyUses
from workers.deployment.keys import Secrets
from workers.deployment.loads import Loads
from workers.deployment.log import Log, stamp
from workers.deployment.projection import Projection
from workers.deployment.state import Deployment, Key, fold
from workers.gateway.errors import GatewayDown, GatewayError
from workers.gateway.flow import Flow
from workers.gateway.haproxy import Haproxy
from workers.gateway.holding import Holding
from workers.gateway.key_watch import KeyWatch
from workers.gateway.outlook import Outlook, outlook
from workers.gateway.routes import drained, table_of
from workers.gateway.source_watch import SourceWatch
from workers.gateway.table import Actual, ReplicaServer, RoutingTable
from workers.gateway.watch import Watch
from workers.nudges import Nudge
from workers.policy.key_limits import KeyLimits
from workers.policy.schema import Policy

logger = logging.getLogger(__name__)

TURN = timedelta(seconds=0.1)
"""Maximum time between two reads of the log. An append ends it: see `Gateway._wait`."""

GATHERED = 0.005
"""Seconds after an append in which further ones are waited for: many come together."""

LOOK_EVERY = timedelta(seconds=1)
"""Interval between two checks of HAProxy while the log does not change: it may have been restarted."""

LOOK_HELD_EVERY = timedelta(seconds=0.3)
"""Interval between two checks while requests are on hold, because a check releases them, or while a replica drains."""

LOOK_SHARE = 20
LOOK_AT_LEAST_EVERY = timedelta(seconds=5)
"""With thousands of replicas, the interval is `LOOK_SHARE` times the duration of a check, and at most this long.

A replica that does not answer its checks, while its answers grow, is cut 10 seconds after the first of them failed.
"""

LOST_LOOKED_AT_EVERY = timedelta(minutes=1)


class KnownKeys(Struct, frozen=True):
    """The secrets of a deployment, as read when its log contained the keys `of`."""

    of: tuple[Key, ...]
    secrets: Secrets


class Routed(Struct, frozen=True):
    """The table of one deployment, and what it was made of."""

    state: Deployment
    secrets: Secrets
    limits: KeyLimits
    table: RoutingTable


class Gateway:
    """Keeps one HAProxy consistent with the log. A crash at any line is safe: all state is rebuilt from the log."""

    def __init__(
        self,
        *,
        log: Log,
        haproxy: Haproxy,
        loads: Loads,
        key_uses: KeyUses,
        notices: GatewayNotices,
        policy: Callable[[], Policy],
        nudge: Nudge,
        url: str,
        clock: Callable[[], datetime],
    ) -> None:
        """`url`: the public address of the endpoints. `policy`: returns the policy in force, or raises RedisError."""
        self._log = log
        self._haproxy = haproxy
        self._nudge = nudge
        self._url = url
        self._now = clock
        self._projection = Projection(log)
        self._policy = policy
        self._watch = Watch(loads)
        self._key_watch = KeyWatch(key_uses)
        self._source_watch = SourceWatch(notices)
        self._flow = Flow()
        self._known: dict[DeploymentId, KnownKeys] = {}
        self._table = RoutingTable()
        self._routed: dict[DeploymentId, Routed] = {}
        self._states: dict[DeploymentId, Deployment] = {}
        """The deployments that have a route."""
        self._serving: frozenset[str] = frozenset()
        self._lost: frozenset[DeploymentId] = frozenset()
        """The deployments whose logs cannot be read any more."""
        self._lost_looked_at = -math.inf
        self._looked_at = -math.inf
        self._look_took = 0.0
        self._position = "0-0"
        self._reported = ""

    def prepare(self) -> None:
        """Write HAProxy's files with the complete table, whether HAProxy runs yet or not. Raises RedisError."""
        self._position = self._log.feed_end()  # before the logs are read: what is appended meanwhile is read again
        self._read()
        self._haproxy.prepare(self._table)

    def run(self, holding: Holding, stop: threading.Event) -> None:
        """Repeat `turn` until `stop` is set, also if Redis or HAProxy does not answer."""
        while not stop.is_set():
            try:
                self.turn(holding)
                self._report(self._haproxy.fault)
            except RedisError as error:
                self._report(f"Redis does not answer; the routing table stays unchanged: {error}")
            except GatewayDown as error:
                self._report(str(error))
            except (GatewayError, OSError, MsgspecError) as error:  # a full disk, a log of a newer version
                self._report(f"HAProxy could not be updated; retrying: {error}")
            self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        """Return when an event is appended, at the latest after `TURN`."""
        try:
            appended = [position for position, _ in self._log.follow(self._position, TURN)]
        except RedisError:
            stop.wait(TURN.total_seconds())
        else:
            self._position = appended[-1] if appended else self._position
            stop.wait(GATHERED)

    def turn(self, holding: Holding) -> None:
        """Update HAProxy to the logged state. Raises RedisError, GatewayError."""
        before = self._table
        try:
            self._read()
        except RedisError:
            if self._due(holding):  # a replica that works without answering its checks stays trusted
                self._look(holding)
            raise
        applied = self._table == before or self._haproxy.hasten(self._table)
        if applied and _servers(self._table) == _servers(before) and not self._due(holding):
            return
        actual = self._look(holding)
        self._publish(actual)
        self._record_drained(actual)
        self._watch.look(self._table, actual, self._flow, holding, self._now())
        self._key_watch.look(self._haproxy.key_uses, self._now())
        self._source_watch.look(self._haproxy.wrong_keys, self._haproxy.fault, self._now())

    def _due(self, holding: Holding) -> bool:
        """Whether HAProxy is to be checked although the table has not changed. The clock of the host may jump."""
        draining = any(server.state == "drain" for route in self._table.routes for server in route.servers)
        every = LOOK_HELD_EVERY if draining or holding.held() else LOOK_EVERY
        least = min(LOOK_SHARE * self._look_took, LOOK_AT_LEAST_EVERY.total_seconds())
        return time.monotonic() - self._looked_at >= max(every.total_seconds(), least)

    def _look(self, holding: Holding) -> Actual:
        """Update HAProxy to the table, and return what it has then. Raises GatewayError."""
        began = time.monotonic()
        try:
            actual = self._haproxy.converge(self._table, self._flow.flowing(time.monotonic(), FLOWS_WITHIN))
        except GatewayDown:
            self._serving = frozenset()
            raise
        self._looked_at = time.monotonic()
        self._look_took = self._looked_at - began
        self._flow = self._flow.seen(actual, self._looked_at)
        self._serving = actual.serving
        holding.look_again()
        return actual

    def outlook(self, deployment: DeploymentId) -> Outlook:
        """Whether a request to a deployment can be answered, by the log and the last check of HAProxy."""
        return outlook(self._states.get(deployment), serving=deployment in self._serving)

    def _read(self) -> None:
        self._projection.refresh(self._now())
        newest = self._projection.states
        states = {id_: s for id_, s in newest.items() if not is_ending(s)}
        self._states = states | self._as_last_known(newest.keys())
        self._known = {state.id: self._keys(state) for state in self._states.values()}
        self._table = self._table_of(self._policy().keys)

    def _table_of(self, limits: KeyLimits) -> RoutingTable:
        """The wanted table; the routes of deployments that have not changed are those of the last one."""
        routes: dict[DeploymentId, Routed] = {}
        for id_, state in self._states.items():
            secrets, before = self._known[id_].secrets, self._routed.get(id_)
            if before and before.state is state and before.secrets is secrets and before.limits == limits:
                routes[id_] = before
            else:
                routes[id_] = Routed(state, secrets, limits, table_of([state], {id_: secrets}, limits))
        self._routed = routes
        return RoutingTable(routes=tuple(route for routed in routes.values() for route in routed.table.routes))

    def _as_last_known(self, there: Collection[DeploymentId]) -> dict[DeploymentId, Deployment]:
        """The last known state of each deployment whose log cannot be read any more.

        An endpoint closes only when its deployment ends, not if a newer version wrote its log or Redis lost it.
        """
        gone = {id_: state for id_, state in self._states.items() if id_ not in there}
        due = time.monotonic() - self._lost_looked_at >= LOST_LOOKED_AT_EVERY.total_seconds()
        ended = {id_ for id_ in gone if (due or id_ not in self._lost) and self._has_ended(id_)}
        lost = {id_: state for id_, state in gone.items() if id_ not in ended}
        for id_ in lost.keys() - self._lost:
            logger.warning("the log of %s (%s) cannot be read: its route stays unchanged", id_, lost[id_].name)
        self._lost = frozenset(lost)
        self._lost_looked_at = time.monotonic() if due else self._lost_looked_at
        return lost

    def _has_ended(self, deployment: DeploymentId) -> bool:
        try:
            state = fold(deployment, self._log.read(deployment))
        except MsgspecError:
            return False
        return state is not None and is_ending(state)

    def _readable(self) -> list[Deployment]:
        """The deployments whose logs can be read completely, and so appended to."""
        return [state for id_, state in self._states.items() if id_ not in self._lost and not state.newer]

    def _keys(self, state: Deployment) -> KnownKeys:
        known = self._known.get(state.id)
        if known is not None and known.of == state.keys:
            return known
        return KnownKeys(state.keys, self._log.secrets(state.id))

    def _publish(self, actual: Actual) -> None:
        """Record the endpoint of each ready deployment when HAProxy has its route."""
        up = {s.backend for s in actual.servers if s.admin == "ready"}
        for state in self._readable():
            routed = actual.routes.get(state.id) in up
            if routed and state.ready and (state.endpoint is None or state.endpoint.url != self._url):
                logger.info("%s answers at %s", state.id, self._url)
                published = EndpointPublished(**stamp(self._now()), url=self._url)
                if self._log.append(state.id, state.version, [published]):
                    self._nudge(state.id)

    def _record_drained(self, actual: Actual) -> None:
        idle = drained(self._table, actual)
        for state in self._readable():
            for attempt in state.attempts:
                if attempt.phase is Phase.DRAINING and (state.id, f"r{attempt.number}") in idle:
                    logger.info("%s: replica %d has answered its last request", state.id, attempt.replica)
                    drained_event = ReplicaDrained(**stamp(self._now()), attempt=attempt.number)
                    self._log.record(state.id, state.version, [drained_event])
                    self._nudge(state.id)

    def _report(self, sentence: str) -> None:
        """Log a sentence when it changes, not at each turn; an empty one means recovery."""
        if sentence and sentence != self._reported:
            logger.warning("%s", sentence)
        elif self._reported and not sentence:
            logger.info("the gateway is up to date again")
        self._reported = sentence


def _servers(table: RoutingTable) -> list[tuple[str, tuple[ReplicaServer, ...]]]:
    """The part of a table of which HAProxy's answer is to be recorded: not the keys."""
    return [(route.deployment, route.servers) for route in table.routes]
