"""Looks at everything at once: machines, probes, deadlines; appends what changed, and nudges what is due."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import assert_never

from redis import Redis
from redis.exceptions import RedisError

from workers.clouds.driver import Driver, DriverError, Presence, Sighting, Token
from workers.deployment.events import (
    AnyEvent,
    DeploymentId,
    EngineProgressed,
    LeaseExtended,
    MachineGone,
    ReplicaNotReady,
    ReplicaReady,
)
from workers.deployment.log import Log, Stamp, stamp
from workers.deployment.next_step import Wait, next_step
from workers.deployment.projection import Projection
from workers.deployment.state import LIVE, MAY_COST, Attempt, Deployment, Phase, fold
from workers.lease import Lease
from workers.replicas.verdict import (
    Gone,
    NotReady,
    Ready,
    Unchanged,
    Verdict,
    verdict_on_machine,
    verdict_on_probe,
)
from workers.requests import Nudge
from workers.serving.probe import probe

logger = logging.getLogger(__name__)

LOG_LINES = 20

PROBE_READY_EVERY = timedelta(seconds=10)
"""As SkyPilot; a replica that is not ready is probed at every sweep, since somebody waits."""

NUDGE_AGAIN = timedelta(seconds=2)
"""A nudge that changed nothing is repeated after this, doubled each time up to NUDGE_AGAIN_MOST."""

NUDGE_AGAIN_MOST = timedelta(seconds=30)


class Sweeper:
    """One at a time by lease, inside `mixtral-bot worker`; whoever takes over starts from the logs."""

    def __init__(
        self,
        *,
        redis: Redis,
        log: Log,
        drivers: Mapping[str, Driver],
        nudge: Nudge,
        installation: str,
        machine_lease: timedelta,
        control_lease: timedelta,
        every: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._lease = Lease(redis, "sweeper", control_lease)
        self._log = log
        self._drivers = drivers
        self._nudge = nudge
        self._installation = installation
        self._machine_lease = machine_lease
        self._every = every
        self._now = clock
        self._projection = Projection(log)
        self._probed_at: dict[Token, datetime] = {}
        self._failed_once: set[Token] = set()
        self._nudged: dict[DeploymentId, tuple[int, datetime, timedelta]] = {}
        self._unknown: set[Token] = set()
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="probe")

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop; a Redis or a cloud that does not answer is waited for."""
        while not stop.is_set():
            try:
                with self._lease.held() as ours:
                    while ours and not stop.is_set() and self._lease.renew():
                        self.sweep()
                        stop.wait(self._every.total_seconds())
            except RedisError as error:
                logger.warning("Redis does not answer, sweeping again in a moment: %s", error)
            stop.wait(self._every.total_seconds())

    def sweep(self) -> None:
        """Look at everything once."""
        self._projection.refresh(self._now())
        for cloud, driver in self._drivers.items():
            try:
                sightings = {s.machine.token: s for s in driver.owned(self._installation)}
            except DriverError as error:
                logger.warning("%s could not be listed: %s", cloud, error)
                continue
            self._observe_machines(cloud, sightings)
            self._reap(driver, sightings.values())
        self._observe_probes()
        self._extend_leases()
        self._nudge_what_is_due()

    def _observe_machines(self, cloud: str, sightings: Mapping[Token, Sighting]) -> None:
        for state, attempt in self._attempts(MAY_COST):
            if attempt.offer.cloud != cloud:
                continue
            sighting = sightings.get(attempt.request.token)
            self._record(state, attempt, verdict_on_machine(attempt, sighting))
            if sighting and attempt.phase is Phase.STARTING and sighting.progress not in ("", attempt.progress):
                self._append(
                    state, EngineProgressed(**self._stamp(), attempt=attempt.number, progress=sighting.progress)
                )

    def _observe_probes(self) -> None:
        due = [(s, a) for s, a in self._attempts(LIVE) if a.machine and a.machine.address and self._is_due(a)]
        failures = self._threads.map(lambda pair: self._probe(*pair), due)
        for (state, attempt), failure in zip(due, failures, strict=True):
            token = attempt.request.token
            self._probed_at[token] = self._now()
            first_failure = failure is not None and token not in self._failed_once
            self._failed_once.discard(token) if failure is None else self._failed_once.add(token)
            if first_failure and attempt.phase is Phase.READY:
                continue  # one lost probe is no verdict
            self._record(state, attempt, verdict_on_probe(attempt, failure))

    def _is_due(self, attempt: Attempt) -> bool:
        last = self._probed_at.get(attempt.request.token)
        settled = attempt.phase is Phase.READY and attempt.request.token not in self._failed_once
        return last is None or not settled or self._now() - last >= PROBE_READY_EVERY

    def _probe(self, state: Deployment, attempt: Attempt) -> str | None:
        assert attempt.machine is not None  # noqa: S101 - only machines with an address are probed
        assert attempt.machine.address is not None  # noqa: S101 - likewise
        key = self._log.key(state.id) or ""
        return probe(attempt.machine.address, state.recipe.service.readiness_probe, key=key)

    def _record(self, state: Deployment, attempt: Attempt, verdict: Verdict) -> None:
        match verdict:
            case Ready(address):
                self._append(state, ReplicaReady(**self._stamp(), attempt=attempt.number, address=address))
            case NotReady(why):
                self._append(state, ReplicaNotReady(**self._stamp(), attempt=attempt.number, why=why))
            case Gone(why, preempted):
                tail = self._drivers[attempt.offer.cloud].log(attempt.request.token, LOG_LINES)
                gone = MachineGone(**self._stamp(), attempt=attempt.number, why=why, log_tail=tail, preempted=preempted)
                self._append(state, gone)
            case Unchanged():
                pass
            case _:
                assert_never(verdict)

    def _append(self, state: Deployment, fact: AnyEvent) -> None:
        logger.info("%s: %s", state.id, type(fact).__name__)
        self._log.record(state.id, state.version, [fact])
        self._projection.refresh(self._now())
        self._nudged.pop(state.id, None)

    def _reap(self, driver: Driver, sightings: Iterable[Sighting]) -> None:
        """End the machines that nobody wants any more; those that nobody knows are told of, never ended."""
        for sighting in sightings:
            if sighting.presence is not Presence.RUNNING:
                continue
            match self._wanted(sighting):
                case True:
                    pass
                case False:
                    logger.warning("ending %s: its deployment does not want it any more", sighting.machine.id)
                    driver.terminate(sighting.machine.token)
                case None:
                    if sighting.machine.token not in self._unknown:
                        self._unknown.add(sighting.machine.token)
                        logger.warning("%s belongs to no known deployment; left alone", sighting.machine.id)

    def _wanted(self, sighting: Sighting) -> bool | None:
        """None where the log is gone or never held the intent of this machine."""
        id_ = DeploymentId(sighting.deployment)
        state = self._projection.states.get(id_)
        attempt = _find(state, sighting)
        if attempt is None:
            # Ended long ago, or intended after this sweep's refresh: the log itself knows.
            state = fold(id_, self._log.read(id_))
            attempt = _find(state, sighting)
        return None if attempt is None else attempt.phase in MAY_COST

    def _extend_leases(self) -> None:
        for state, attempt in self._attempts(LIVE):
            now = self._now()
            if attempt.machine is None or attempt.expires_at - now > self._machine_lease / 2:
                continue
            later = now + self._machine_lease
            try:
                self._drivers[attempt.offer.cloud].extend(attempt.request.token, later)
            except DriverError as error:
                logger.warning("the lease of %s could not be extended: %s", attempt.machine.id, error)
            else:
                self._append(state, LeaseExtended(**self._stamp(), attempt=attempt.number, expires_at=later))

    def _nudge_what_is_due(self) -> None:
        now = self._now()
        for id_, state in self._projection.states.items():
            if isinstance(next_step(state, now), Wait):
                self._nudged.pop(id_, None)
                continue
            version, at, pause = self._nudged.get(id_, (-1, now, NUDGE_AGAIN))
            if version == state.version and now - at < pause:
                continue
            longer = min(pause * 2, NUDGE_AGAIN_MOST) if version == state.version else NUDGE_AGAIN
            self._nudged[id_] = (state.version, now, longer)
            self._nudge(id_)

    def _attempts(self, phases: frozenset[Phase]) -> list[tuple[Deployment, Attempt]]:
        return [(s, a) for s in self._projection.states.values() for a in s.attempts if a.phase in phases]

    def _stamp(self) -> Stamp:
        return stamp(self._now())


def _find(state: Deployment | None, sighting: Sighting) -> Attempt | None:
    attempts = state.attempts if state else ()
    return next((a for a in attempts if a.request.token == sighting.machine.token), None)
