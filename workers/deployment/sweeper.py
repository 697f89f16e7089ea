"""Looks at everything at once: machines, probes, deadlines; appends what changed, and nudges what is due."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any, assert_never

from msgspec import MsgspecError, Struct
from redis import Redis
from redis.exceptions import RedisError

from workers.clouds.driver import Driver, Presence, Sighting, Token
from workers.deployment.confidential import Confidential
from workers.deployment.events import (
    AnyEvent,
    DeploymentId,
    EngineProgressed,
    KeyNotEnforced,
    LeaseExtended,
    MachineAddressed,
    MachineGone,
    ReplicaNotReady,
    ReplicaReady,
)
from workers.deployment.log import Log, Stamp, stamp
from workers.deployment.next_step import Wait, next_step
from workers.deployment.projection import Projection
from workers.deployment.state import LIVE, MAY_COST, Attempt, Deployment, Phase, fold
from workers.errors import WorkersError
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
from workers.serving.probe import key_is_enforced, probe

logger = logging.getLogger(__name__)

LOG_LINES = 20

PROBE_READY_EVERY = timedelta(seconds=10)
"""As SkyPilot; a replica that is not ready is probed at every sweep, since somebody waits."""

NUDGE_AGAIN = timedelta(seconds=2)
"""A nudge that changed nothing is repeated after this, doubled each time up to NUDGE_AGAIN_MOST."""

NUDGE_AGAIN_MOST = timedelta(seconds=30)


LIST_LOCAL_EVERY = timedelta()
LIST_BUSY_EVERY = timedelta(seconds=5)
"""A cloud where machines of ours should be: a preemption is to be noticed within 15 s."""

LIST_IDLE_EVERY = timedelta(minutes=5)
"""A cloud where none should be: whatever is found there is reaped or told of."""

ANSWERED_WITHIN = 0.3
"""Seconds that a sweep waits for lists and probes; those that take longer are looked at by a later sweep."""

MISSED_IS_GONE = 2

SHOWN_WITHIN = timedelta(seconds=20)
"""Clouds may take so long to list a machine that they have made; `local` is slower than nobody."""


class Listing(Struct, frozen=True, kw_only=True):
    """What a cloud said it runs for us."""

    begun: datetime
    sightings: dict[Token, Sighting]


class Probed(Struct, frozen=True, kw_only=True):
    """What a replica said."""

    address: str
    """Where it was asked: by the time it has answered, its machine may have another address."""
    failure: str | None
    """Why the readiness probe failed; None: it passed."""
    key_enforced: bool


class Seen(Struct, kw_only=True):
    """What is remembered of a replica between sweeps; losing it costs a probe."""

    probed_at: datetime | None = None
    failures: int = 0
    missed: int = 0
    """How many lists in a row did not show its machine."""


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
        environ: Mapping[str, str],
        machine_lease: timedelta,
        control_lease: timedelta,
        every: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._lease = Lease(redis, "sweeper", control_lease)
        self._log = log
        self._confidential = Confidential(log, environ)
        self._drivers = drivers
        self._nudge = nudge
        self._installation = installation
        self._machine_lease = machine_lease
        self._every = every
        self._now = clock
        self._projection = Projection(log)
        self._seen: dict[Token, Seen] = {}
        self._nudged: dict[DeploymentId, tuple[int, datetime, timedelta]] = {}
        self._unknown: set[Token] = set()
        self._probers = ThreadPoolExecutor(32, thread_name_prefix="probe")
        self._probing: dict[Token, Future[Probed]] = {}
        self._listers = ThreadPoolExecutor(max(1, len(drivers)), thread_name_prefix="list")
        self._listings: dict[str, Future[Listing | None]] = {}
        self._listed_at: dict[str, datetime] = {}

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
        """Look at everything once. Nothing that is slow or broken holds up the rest."""
        known = set(self._projection.states)
        self._projection.refresh(self._now())
        if known - set(self._projection.states):
            self._listed_at.clear()  # deployments ended, or a log was lost: see at once what still runs
        self._forget()
        self._each(self._start_probe, self._attempts(LIVE))
        self._ask_for_listings()
        pending: list[Future[Any]] = [*self._listings.values(), *self._probing.values()]
        wait(pending, timeout=ANSWERED_WITHIN)
        for cloud in [c for c, listing in self._listings.items() if listing.done()]:
            self._observe(cloud, self._listings.pop(cloud))
        self._each(self._observe_probe, self._attempts(LIVE))
        self._each(self._extend_lease, self._attempts(LIVE))
        self._nudge_what_is_due()

    def _each(
        self, look: Callable[[Deployment, Attempt], None], attempts: Iterable[tuple[Deployment, Attempt]]
    ) -> None:
        """Do something for each replica; what goes wrong with one is told, and the others have their turn."""
        for state, attempt in attempts:
            try:
                look(state, attempt)
            except (WorkersError, OSError) as error:
                logger.warning("%s replica %d: %s", state.name, attempt.replica, error)

    def _ask_for_listings(self) -> None:
        busy = {attempt.offer.cloud for _, attempt in self._attempts(MAY_COST)}
        now = self._now()
        for cloud, driver in self._drivers.items():
            every = LIST_LOCAL_EVERY if cloud == "local" else LIST_BUSY_EVERY if cloud in busy else LIST_IDLE_EVERY
            last = self._listed_at.get(cloud)
            if cloud not in self._listings and (last is None or now - last >= every):
                self._listed_at[cloud] = now
                self._listings[cloud] = self._listers.submit(self._list, driver, now)

    def _list(self, driver: Driver, now: datetime) -> "Listing | None":
        """None for a cloud that cannot be asked: an empty list would say that everything is gone."""
        if not driver.status().usable:
            return None
        return Listing(begun=now, sightings={s.machine.token: s for s in driver.owned(self._installation)})

    def _observe(self, cloud: str, future: "Future[Listing | None]") -> None:
        try:
            listing = future.result()
        except (WorkersError, OSError) as error:
            logger.warning("%s could not be listed: %s", cloud, error)
            return
        if listing is None:
            return
        attempts = [(s, a) for s, a in self._attempts(MAY_COST) if a.offer.cloud == cloud]
        self._each(lambda state, attempt: self._observe_machine(state, attempt, listing), attempts)
        for sighting in listing.sightings.values():
            if sighting.presence is Presence.RUNNING:
                self._reap(self._drivers[cloud], sighting)

    def _observe_machine(self, state: Deployment, attempt: Attempt, listing: "Listing") -> None:
        token = attempt.request.token
        sighting = listing.sightings.get(token)
        seen = self._seen.setdefault(token, Seen())
        if sighting is None:
            # A list may be older than the machine, or lag behind it: two young ones have to agree.
            born = attempt.machine.created_at if attempt.machine else attempt.since  # a failed probe is no birth
            seen.missed += born + SHOWN_WITHIN <= listing.begun
            if seen.missed < MISSED_IS_GONE:
                return
        else:
            seen.missed = 0
            self._record_what_is_new(state, attempt, sighting)
        self._record(state, attempt, verdict_on_machine(attempt, sighting))

    def _record_what_is_new(self, state: Deployment, attempt: Attempt, sighting: Sighting) -> None:
        if sighting.presence is not Presence.RUNNING:
            return
        address = sighting.machine.address
        if address and attempt.machine and attempt.machine.address != address:
            self._append(state, MachineAddressed(**self._stamp(), attempt=attempt.number, address=address))
        progress = self._confidential.masked(state, sighting.progress)
        if attempt.phase is Phase.STARTING and progress not in ("", attempt.progress):
            self._append(state, EngineProgressed(**self._stamp(), attempt=attempt.number, progress=progress))

    def _start_probe(self, state: Deployment, attempt: Attempt) -> None:
        token = attempt.request.token
        if attempt.machine is None or attempt.machine.address is None or token in self._probing:
            return
        seen = self._seen.setdefault(token, Seen())
        settled = attempt.phase is Phase.READY and seen.failures == 0
        if seen.probed_at is None or not settled or self._now() - seen.probed_at >= PROBE_READY_EVERY:
            self._probing[token] = self._probers.submit(self._probe, state, attempt, attempt.machine.address)

    def _probe(self, state: Deployment, attempt: Attempt, address: str) -> Probed:
        failure = probe(address, state.recipe.service.readiness_probe, key=self._log.key(state.id) or "")
        asked = failure is None and attempt.phase is not Phase.READY
        return Probed(address=address, failure=failure, key_enforced=not asked or key_is_enforced(address))

    def _observe_probe(self, state: Deployment, attempt: Attempt) -> None:
        token = attempt.request.token
        if token not in self._probing or not self._probing[token].done():
            return
        probed = self._probing.pop(token).result()
        if attempt.machine is None or attempt.machine.address != probed.address:
            return
        seen = self._seen.setdefault(token, Seen())
        seen.probed_at = self._now()
        seen.failures = 0 if probed.failure is None else seen.failures + 1
        if attempt.phase is Phase.READY and seen.failures == 1:
            return  # one lost probe is no verdict
        why = probed.failure and self._confidential.masked(state, probed.failure)
        verdict = verdict_on_probe(attempt, why)
        if isinstance(verdict, Ready) and not probed.key_enforced:
            self._append(state, KeyNotEnforced(**self._stamp(), url=verdict.address))
        self._record(state, attempt, verdict)

    def _record(self, state: Deployment, attempt: Attempt, verdict: Verdict) -> None:
        match verdict:
            case Ready(address):
                self._append(state, ReplicaReady(**self._stamp(), attempt=attempt.number, address=address))
            case NotReady(why):
                self._append(state, ReplicaNotReady(**self._stamp(), attempt=attempt.number, why=why))
            case Gone(why, preempted):
                gone = MachineGone(
                    **self._stamp(),
                    attempt=attempt.number,
                    why=self._confidential.masked(state, why),
                    log_tail=self._log_tail(state, attempt),
                    preempted=preempted,
                )
                self._append(state, gone)
            case Unchanged():
                pass
            case _:
                assert_never(verdict)

    def _log_tail(self, state: Deployment, attempt: Attempt) -> str:
        try:
            tail = self._drivers[attempt.offer.cloud].log(attempt.request.token, LOG_LINES)
        except WorkersError as error:
            return f"(its log could not be read: {error})"
        return self._confidential.masked(state, tail)

    def _append(self, state: Deployment, fact: AnyEvent) -> None:
        logger.info("%s: %s", state.id, type(fact).__name__)
        self._log.record(state.id, state.version, [fact])
        self._projection.refresh(self._now())
        self._nudged.pop(state.id, None)

    def _reap(self, driver: Driver, sighting: Sighting) -> None:
        """End a machine that nobody wants any more; one that nobody knows is told of, never ended."""
        machine = sighting.machine
        try:
            state, attempt = self._intent(sighting)
        except MsgspecError:
            state, attempt = None, None  # a log of a newer version than ours: not for us to judge
        if state is None or attempt is None:
            if machine.token not in self._unknown:
                self._unknown.add(machine.token)
                logger.warning("%s belongs to no deployment that is known; left alone", machine.id)
        elif attempt.phase not in MAY_COST:
            logger.warning("ending %s: %s does not want it any more", machine.id, state.name)
            try:
                driver.terminate(machine.token)
            except WorkersError as error:
                logger.warning("%s could not be ended, trying again: %s", machine.id, error)
        elif state.ended:
            self._nudge(state.id)  # it came after the end, and nobody looks at an ended deployment by himself

    def _intent(self, sighting: Sighting) -> tuple[Deployment | None, Attempt | None]:
        """The deployment and the attempt that a machine was made for, as the log has them."""
        id_ = DeploymentId(sighting.deployment)
        state = self._projection.states.get(id_)
        attempt = _find(state, sighting)
        if attempt is None:
            # Ended long ago, or intended after this sweep's refresh: the log itself knows.
            state = fold(id_, self._log.read(id_))
            attempt = _find(state, sighting)
        return state, attempt

    def _extend_lease(self, state: Deployment, attempt: Attempt) -> None:
        now = self._now()
        driver = self._drivers.get(attempt.offer.cloud)
        if driver is None or attempt.machine is None or attempt.expires_at - now > self._machine_lease / 2:
            return
        later = now + self._machine_lease
        driver.extend(attempt.request.token, later)
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

    def _forget(self) -> None:
        """Keep notes only of replicas that may still be there."""
        known = {a.request.token for _, a in self._attempts(MAY_COST)}
        self._seen = {token: seen for token, seen in self._seen.items() if token in known}
        self._probing = {token: probing for token, probing in self._probing.items() if token in known}

    def _attempts(self, phases: frozenset[Phase]) -> list[tuple[Deployment, Attempt]]:
        return [(s, a) for s in self._projection.states.values() for a in s.attempts if a.phase in phases]

    def _stamp(self) -> Stamp:
        return stamp(self._now())


def _find(state: Deployment | None, sighting: Sighting) -> Attempt | None:
    attempts = state.attempts if state else ()
    return next((a for a in attempts if a.request.token == sighting.machine.token), None)
