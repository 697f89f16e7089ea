"""Observes machines, replicas and load of all deployments in rounds, and nudges the deployments that are due."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError

from workers.clouds.driver import Driver
from workers.control.budget_stops import BudgetStops
from workers.control.cloud_ends import CloudEnds
from workers.control.consoles import Consoles
from workers.control.freeing import NameFreeing
from workers.control.idling import IdleWatch
from workers.control.leasing import Leasing
from workers.control.nudging import Nudger
from workers.control.observing import Observer
from workers.control.orphan_record import OrphanRecord
from workers.control.probing import AT_ONCE, Prober
from workers.control.reaping import Reaper
from workers.control.recording import Recorder
from workers.control.repricing import Repricing
from workers.control.scaling import Autoscaler
from workers.control.shortening import Shortening
from workers.control.token_counting import TokenCounting
from workers.deployment.attempt import MAY_COST
from workers.deployment.audit_stream import AuditStream
from workers.deployment.ledger_reader import Ledger
from workers.deployment.loads import Loads
from workers.deployment.log import KEPT_AFTER_END, Log
from workers.deployment.ownership import WorkerIdentity
from workers.deployment.state import Deployment
from workers.deployment.token_stream import KEPT as TOKENS_KEPT
from workers.errors import WorkersError
from workers.heartbeats import HeartbeatRecorder, WorkerPart
from workers.lease import SWEEPER, Lease
from workers.nudges import Nudge
from workers.redis_failures import failure_of
from workers.serving.metrics import computes
from workers.serving.probe import cannot_complete, key_is_enforced, probe
from workers.settings import AUDIT_KEPT

logger = logging.getLogger(__name__)

ANSWERED_WITHIN = 0.3
"""Maximum time that a sweep waits for lists and probes, in seconds. A later sweep processes later answers."""

CAUGHT_UP_EVERY = 0.2
"""Time in seconds after which answers of starting replicas are processed between two sweeps."""

LEDGER_EVERY = timedelta(minutes=10)
"""Interval at which the ledger is completed, for workers of an earlier version that run beside this one."""

TRIMMED_EVERY = timedelta(hours=1)

LEDGER_MARGIN = timedelta(hours=1)
"""Time before the last completion whose ends are looked at again."""


class SweepPart(Protocol):
    """A part of a sweep that looks at every deployment."""

    def look(self, states: Iterable[Deployment], now: datetime) -> None: ...


class Sweeper:
    """Runs inside `mixtral-bot worker`, one at a time by lease. The next holder of the lease starts from the logs."""

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
        host: str = "",
        nudge_end: Nudge | None = None,
        audit_kept: timedelta = AUDIT_KEPT,
        probes_at_once: int = AT_ONCE,
    ) -> None:
        """`host`: the id of this worker host, whose local machines only it observes; empty if it is the only one.

        `probes_at_once`: maximum number of concurrent probes, each of which needs a descriptor.
        """
        self._lease = Lease(redis, SWEEPER, control_lease)
        self._heartbeat = HeartbeatRecorder(redis, WorkerPart.SWEEPER, host)
        self._every = every
        self._log, self._ledger = log, Ledger(redis, whole=True)
        self._completed_at: datetime | None = None
        self._audit, self._audit_kept = AuditStream(redis), audit_kept
        self._trimmed_at: datetime | None = None
        self._recorder = Recorder(log, environ, clock, WorkerIdentity(installation=installation, host=host))
        self._local = "local" in drivers and bool(host)
        self._leasing = Leasing(self._recorder, drivers, machine_lease)
        reaper = Reaper(self._recorder, nudge, self._leasing.keep, OrphanRecord(redis, environ, clock).note)
        self._observer = Observer(self._recorder, drivers, installation, reaper, CloudEnds(self._ledger, clock))
        self._prober = Prober(
            self._recorder,
            log,
            probe=probe,
            key_is_enforced=key_is_enforced,
            cannot_complete=cannot_complete,
            loads=Loads(redis).read,
            computes=computes,
            at_once=probes_at_once,
        )
        self._consoles = Consoles(self._recorder, log, drivers)
        self._scaling = Autoscaler(redis, log)
        self._tokens = TokenCounting(self._ledger, log)
        self._repricing = Repricing(redis, self._ledger, environ)
        self._budget_stops = BudgetStops(redis, log)
        self._idling = IdleWatch(redis, log)
        self._shortening = Shortening(log)
        self._freeing = NameFreeing(redis, log, machine_lease)
        self._nudger = Nudger(nudge, clock, nudge_end)
        self._redis_failure = ""
        """Why the last sweep failed; empty if it did not."""
        self._failing: dict[str, str] = {}
        """The last error of each part whose last look failed."""

    def run(self, stop: threading.Event) -> None:
        """Sweep until `stop` is set. An error of Redis is logged, and the sweep is repeated."""
        while not stop.is_set():
            try:
                with self._lease.held() as free:
                    self._idling.forget()
                    while free and not stop.is_set() and self._lease.renew():
                        self.sweep()
                        self.complete_ledger()
                        self.trim()
                        self._redis_failure = ""
                        self._rest(stop)
                if self._local and not free:
                    self.sweep_host()
            except RedisError as error:
                if (cause := failure_of(error).in_full) != self._redis_failure:
                    logger.warning("the sweep is repeated every second without further messages: %s", cause)
                self._redis_failure = cause
            stop.wait(self._every.total_seconds())

    def _rest(self, stop: threading.Event) -> None:
        """Wait for the next sweep. What a starting replica answers meanwhile does not wait for it."""
        ends = time.monotonic() + self._every.total_seconds()
        while (left := ends - time.monotonic()) > 0 and not stop.wait(min(left, CAUGHT_UP_EVERY)):
            self._prober.catch_up()

    def complete_ledger(self) -> None:
        """Book, at intervals, what workers of an earlier version have bought or ended without booking it.

        A failure is logged and does not stop the sweeps, which end machines.
        """
        now, before = self._recorder.now(), self._completed_at
        if before is not None and abs(now - before) < LEDGER_EVERY:
            return
        since = now - KEPT_AFTER_END if before is None else before - LEDGER_MARGIN
        try:
            added = self._ledger.complete(self._log, since, now)
            self._ledger.store(now)
            self._freeing.look(self._ledger, now)
        except (RedisError, WorkersError, ValueError, KeyError) as error:
            logger.warning("The ledger cannot be completed: %s", error)
            return
        self._completed_at = now
        if added:
            logger.info("The ledger lacked %d entries that the logs contain; they are booked now.", added)

    def trim(self) -> None:
        """Remove, at intervals, what is too old to be shown. A failure does not stop the sweeps."""
        now, before = self._recorder.now(), self._trimmed_at
        if before is not None and abs(now - before) < TRIMMED_EVERY:
            return
        self._trimmed_at = now
        self._trim("entries of the audit", self._audit.trim, now - self._audit_kept)
        self._trim("counts of tokens", self._ledger.trim_tokens, now - TOKENS_KEPT)

    def _trim(self, what: str, trim: Callable[[datetime], int], before: datetime) -> None:
        try:
            removed = trim(before)
        except (RedisError, WorkersError, ValueError, KeyError) as error:
            logger.warning("Old %s cannot be removed: %s", what, error)
            return
        if removed:
            logger.info("%d %s were older than %s, and were removed.", removed, what, before.isoformat())

    def sweep_host(self) -> None:
        """Observe the local machines of this host once, while the sweeper of another host observes everything else."""
        self._recorder.leading = False
        self._recorder.refresh()
        self._observe()

    def sweep(self) -> None:
        """Observe everything once. A part that is slow or fails does not delay the others."""
        self._recorder.leading = True
        known = set(self._recorder.states)
        self._recorder.refresh()
        if known - set(self._recorder.states):
            self._observer.hurry()  # deployments ended, or a log was lost: list immediately what still runs
        self._observe()
        readable = [state for state in self._recorder.states.values() if not state.newer]
        for part in (
            self._scaling,
            self._tokens,
            self._repricing,
            self._budget_stops,
            self._idling,
            self._shortening,
        ):
            self._look(part, readable)
            self._prober.catch_up()
        self._recorder.refresh()
        self._nudger.look(self._recorder.states)
        self._heartbeat.beat()

    def _look(self, part: SweepPart, readable: Sequence[Deployment]) -> None:
        name = type(part).__name__
        try:
            part.look(readable, self._recorder.now())
        except RedisError:
            raise
        except Exception as error:  # one bad value must not stop the parts after it, and the nudges
            if self._failing.get(name) != repr(error):
                logger.exception("%s, a part of the sweep, failed; it is repeated without further messages", name)
            self._failing[name] = repr(error)
        else:
            self._failing.pop(name, None)

    def _observe(self) -> None:
        self._prober.ask()
        self._observer.ask(self._recorder.judged(MAY_COST))
        self._consoles.ask()
        self._leasing.ask()
        until = time.monotonic() + ANSWERED_WITHIN
        self._observer.collect(until)
        self._prober.collect(until)
        self._consoles.collect(until)
        self._leasing.collect(until)
