"""Measures how long deployments have no request, and appends what follows from it."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import assert_never

from redis import Redis

from workers.decision.idleness import (
    AnnounceIdleEnd,
    EndIdle,
    IdleStep,
    NoticeIdle,
    WithdrawIdleEnd,
    idle_step,
    observed,
)
from workers.deployment.condition import is_ending
from workers.deployment.events import AnyEvent, Clock, ClockHeld, DeploymentId, EndAnnounced, IdleNoticed, StopRequested
from workers.deployment.idle_times import IdleTime, IdleTimes
from workers.deployment.loads import Loads
from workers.deployment.log import Log, stamp
from workers.deployment.state import Deployment

logger = logging.getLogger(__name__)

WRITE_EVERY = timedelta(seconds=10)
"""Interval at which the idle times are stored. The gateway itself remembers a request that arrives in between."""


class IdleWatch:
    """Part of a sweep. What a killed process measured is in Redis, and the next one continues from it."""

    def __init__(self, redis: Redis, log: Log) -> None:
        self._log, self._loads, self._stored = log, Loads(redis), IdleTimes(redis)
        self._times: dict[DeploymentId, IdleTime] | None = None
        self._wrote_at: datetime | None = None

    def forget(self) -> None:
        """Read the stored times again, because another process may have measured meanwhile."""
        self._times = self._wrote_at = None

    def look(self, states: Iterable[Deployment], now: datetime) -> None:
        """Measure each deployment that has not ended, and append what is due. Raises RedisError."""
        running = {state.id: state for state in states if not is_ending(state)}
        before = self._stored.read() if self._times is None else self._times
        loads = self._loads.read(running)
        found = {id_: observed(state, loads.get(id_), before.get(id_), now) for id_, state in running.items()}
        self._times = {id_: time for id_, time in found.items() if time is not None}
        self._store(before.keys() - running.keys(), now)
        for id_, state in running.items():
            if step := idle_step(state, self._times.get(id_), now):
                logger.info("%s: %s", state.name, type(step).__name__)
                self._log.append(id_, state.version, [_event(step, now)])

    def _store(self, gone: set[DeploymentId], now: datetime) -> None:
        is_due = self._wrote_at is None or abs(now - self._wrote_at) >= WRITE_EVERY
        if is_due or gone:
            self._stored.write(self._times or {}, gone)
            self._wrote_at = now


def _event(step: IdleStep, now: datetime) -> AnyEvent:
    match step:
        case AnnounceIdleEnd(until, since):
            return EndAnnounced(**stamp(now), until=until, clock=Clock.IDLE, idle_since=since)
        case WithdrawIdleEnd(until, why):
            return ClockHeld(**stamp(now), clock=Clock.IDLE, until=until, why=why)
        case EndIdle():
            return StopRequested(**stamp(now), by="", clock=Clock.IDLE)
        case NoticeIdle(since):
            return IdleNoticed(**stamp(now), since=since)
        case _:
            assert_never(step)
