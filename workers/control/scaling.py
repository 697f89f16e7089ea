"""Adjusts numbers of replicas to the load: reads the gateway's load and the engines' queues, appends decisions."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace
from redis import Redis

from recipes.replicas import moves
from workers.control.async_collector import AsyncCollector
from workers.decision.autoscale import Memory, autoscale
from workers.deployment.condition import is_ending
from workers.deployment.events import Autoscaled, DeploymentId
from workers.deployment.loads import Load, Loads
from workers.deployment.log import Log, stamp
from workers.deployment.state import Deployment
from workers.serving.metrics import waiting

logger = logging.getLogger(__name__)

ASK_ENGINES_EVERY = timedelta(seconds=10)

AT_ONCE = 64
"""Maximum number of deployments whose engines are asked concurrently."""


class Autoscaler:
    """Part of a sweep. If its memory is lost, the delay before a scaling starts again."""

    def __init__(self, redis: Redis, log: Log) -> None:
        self._log = log
        self._loads = Loads(redis)
        self._memories: dict[DeploymentId, Memory] = {}
        self._queues: dict[DeploymentId, tuple[datetime, int | None]] = {}
        """Time of the last request to the engines, and their answer once it has been collected."""
        self._asks = AsyncCollector[DeploymentId, int | None]("queue", AT_ONCE)

    def look(self, states: Iterable[Deployment], now: datetime) -> None:
        """Decide for each deployment whose recipe allows the number of replicas to change."""
        moving = {s.id: s for s in states if _moves(s)}
        self._memories = {id_: memory for id_, memory in self._memories.items() if id_ in moving}
        self._queues = {id_: queue for id_, queue in self._queues.items() if id_ in moving}
        self._asks.retain(moving)
        self._queues |= {id_: (self._queues[id_][0], queued) for id_, queued in self._asks.collect(until=0)}
        loads = self._loads.read(moving)
        for id_, state in moving.items():
            self._decide(state, loads.get(id_), now)

    def _decide(self, state: Deployment, load: Load | None, now: datetime) -> None:
        if load is not None:
            load = replace(load, waiting=self._waiting(state, now), ready=len(state.ready))
        policy = state.recipe.service.replica_policy
        memory = self._memories.get(state.id, Memory())
        target, why, self._memories[state.id] = autoscale(policy, state.wanted, load, memory, now)
        if target == state.wanted:
            return
        logger.info("%s: from %d to %d replicas: %s", state.id, state.wanted, target, why)
        self._log.append(state.id, state.version, [Autoscaled(**stamp(now), replicas=target, why=why)])

    def _waiting(self, state: Deployment, now: datetime) -> int | None:
        """Last known length of the engines' queues. It is read again every ASK_ENGINES_EVERY."""
        asked_at, known = self._queues.get(state.id, (None, None))
        if (asked_at is None or abs(now - asked_at) >= ASK_ENGINES_EVERY) and not self._asks.is_pending(state.id):
            addresses = [a.address for a in state.ready if a.address]
            key = self._log.secrets(state.id).replica
            if self._asks.ask(state.id, _queued, addresses, key):
                self._queues[state.id] = (now, None)
        return known


async def _queued(addresses: list[str], key: str) -> int | None:
    asked = await asyncio.gather(*(waiting(address, key=key) for address in addresses))
    counts = [count for count in asked if count is not None]
    return sum(counts) if counts else None


def _moves(state: Deployment) -> bool:
    return not is_ending(state) and state.paused is None and moves(state.recipe.service.replica_policy)
