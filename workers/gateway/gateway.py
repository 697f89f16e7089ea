"""The gateway's loop: reads the log, brings HAProxy to what it says, and tells what came of it."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct
from redis.exceptions import RedisError

from workers.deployment.events import DeploymentId, EndpointPublished, ReplicaDrained
from workers.deployment.keys import Secrets
from workers.deployment.log import Log, stamp
from workers.deployment.projection import Projection
from workers.deployment.state import Deployment, Key, Phase
from workers.gateway.errors import GatewayDown, GatewayError
from workers.gateway.haproxy import Haproxy
from workers.gateway.holding import Holding
from workers.gateway.outlook import Outlook, outlook
from workers.gateway.routes import drained, table_of
from workers.gateway.table import Actual, Table
from workers.gateway.watch import Watch
from workers.replicas.loads import Loads
from workers.requests import Nudge

logger = logging.getLogger(__name__)

TURN = 0.1
"""Seconds between two looks at the log."""

LOOK_EVERY = timedelta(seconds=1)
"""How often HAProxy itself is looked at where nothing has changed: somebody else may have restarted it."""


class Known(Struct, frozen=True):
    """A deployment's keys, as of those that its log tells of."""

    of: tuple[Key, ...]
    secrets: Secrets


class Gateway:
    """Keeps one HAProxy true to the log; may die at any line, and starts from the log again."""

    def __init__(
        self,
        *,
        log: Log,
        haproxy: Haproxy,
        loads: Loads,
        nudge: Nudge,
        url: str,
        clock: Callable[[], datetime],
    ) -> None:
        """`url`: the address that people see."""
        self._log = log
        self._haproxy = haproxy
        self._nudge = nudge
        self._url = url
        self._now = clock
        self._projection = Projection(log)
        self._watch = Watch(loads)
        self._known: dict[DeploymentId, Known] = {}
        self._table = Table()
        self._looked_at: datetime | None = None
        self._said = ""

    def prepare(self) -> None:
        """Write HAProxy's files with the whole table: before it is started, or for one that runs. Raises RedisError."""
        self._read()
        self._haproxy.prepare(self._table)

    def run(self, holding: Holding, stop: threading.Event) -> None:
        """Turn until told to stop; a Redis or a HAProxy that does not answer is waited for."""
        while not stop.is_set():
            try:
                self.turn(holding)
                self._say("")
            except RedisError as error:
                self._say(f"Redis does not answer; the table stays as it is: {error}")
            except GatewayDown as error:
                self._say(str(error))
            except GatewayError as error:
                self._say(f"HAProxy could not be brought up to date, trying again: {error}")
            stop.wait(TURN)

    def turn(self, holding: Holding) -> None:
        """Bring HAProxy to what the log says. Raises RedisError, GatewayError."""
        before, now = self._table, self._now()
        self._read()
        draining = any(s.state == "drain" for route in self._table.routes for s in route.servers)
        due = self._looked_at is None or now - self._looked_at >= LOOK_EVERY
        if self._table == before and not due and not draining:
            return
        actual = self._haproxy.converge(self._table)
        self._looked_at = now
        holding.look_again()
        self._publish(actual)
        self._tell_drained(actual)
        self._watch.look(self._states(), self._haproxy.loads(), holding, now)

    def outlook(self, deployment: DeploymentId) -> Outlook:
        """What a request to a deployment can hope for, by the newest state that was read."""
        return outlook(self._projection.states.get(deployment))

    def _read(self) -> None:
        self._projection.refresh(self._now())
        states = self._states()
        self._known = {state.id: self._keys(state) for state in states}
        self._table = table_of(states, {id_: known.secrets for id_, known in self._known.items()})

    def _states(self) -> list[Deployment]:
        return [s for s in self._projection.states.values() if s.ended is None and s.stopped_by is None]

    def _keys(self, state: Deployment) -> Known:
        known = self._known.get(state.id)
        if known is not None and known.of == state.keys:
            return known
        return Known(state.keys, self._log.secrets(state.id))

    def _publish(self, actual: Actual) -> None:
        """Say where a deployment answers, once its route stands."""
        up = {s.backend for s in actual.servers if s.admin == "ready"}
        for state in self._states():
            stands = actual.routes.get(state.id) in up
            if stands and state.ready and (state.endpoint is None or state.endpoint.url != self._url):
                logger.info("%s answers at %s", state.id, self._url)
                published = EndpointPublished(**stamp(self._now()), url=self._url)
                if self._log.append(state.id, state.version, [published]):
                    self._nudge(state.id)

    def _tell_drained(self, actual: Actual) -> None:
        idle = drained(self._table, actual)
        for state in self._states():
            for attempt in state.attempts:
                if attempt.phase is Phase.DRAINING and (state.id, f"r{attempt.number}") in idle:
                    logger.info("%s: replica %d has answered its last request", state.id, attempt.replica)
                    told = ReplicaDrained(**stamp(self._now()), attempt=attempt.number)
                    self._log.record(state.id, state.version, [told])
                    self._nudge(state.id)

    def _say(self, sentence: str) -> None:
        """Once, not ten times a second."""
        if sentence and sentence != self._said:
            logger.warning("%s", sentence)
        elif self._said and not sentence:
            logger.info("the gateway is up to date again")
        self._said = sentence
