"""Probes replicas in threads that a later sweep collects; probes of ready ones are spread over an interval."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zlib import crc32

from msgspec import Struct

from recipes.schema import ReadinessProbe
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.decision.verdict import BecameReady, verdict_on_probe
from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.deployment.events import DeploymentId, KeyNotEnforced, ProbeFailed
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.machines import Token

PROBE_READY_EVERY = timedelta(seconds=10)
"""Interval between two probes of a ready replica, as in SkyPilot. Other replicas are probed at every sweep."""

MAX_THREADS = 128
"""Maximum number of concurrent probes. A replica that does not answer occupies a thread until its probe's timeout."""

RECORDED_FIRST = 5
RECORDED_EVERY = timedelta(seconds=15)
"""Minimum time between two recorded reasons of failure after the first RECORDED_FIRST, which are recorded immediately:
a reason that differs with every answer must not fill the log.
"""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Probe(Protocol):
    """Returns None if the replica at an address is ready; otherwise why not, in a few words."""

    def __call__(self, address: str, asked: ReadinessProbe, *, key: str) -> str | None: ...


class Completes(Protocol):
    """Returns None if the replica at an address completes a sentence, or has another API; otherwise why not."""

    def __call__(self, address: str, *, key: str, model: str) -> str | None: ...


class Probed(Struct, frozen=True, kw_only=True):
    """The result of one probe of a replica."""

    asked_at: datetime
    address: str
    """The address that was probed. The machine's address may have changed before the answer."""
    failure: str | None
    """Why the readiness probe failed; None if it passed."""
    key_enforced: bool


class ProbeHistory(Struct, kw_only=True):
    """State kept for a replica between sweeps. If it is lost, the replica is probed once more."""

    due: datetime
    failures: int = 0
    recorded_at: datetime | None = None
    """Time of the last recorded reason of failure."""
    recorded: int = 0
    """Number of recorded reasons."""


class Prober:
    """Probes every live replica, and appends what changed."""

    def __init__(
        self,
        recorder: Recorder,
        log: Log,
        probe: Probe,
        key_is_enforced: Callable[[str], bool],
        cannot_complete: Completes,
    ) -> None:
        self._recorder = recorder
        self._log = log
        self._ask = probe
        self._key_is_enforced = key_is_enforced
        self._cannot_complete = cannot_complete
        self._keys: dict[DeploymentId, str] = {}
        """Cached, for they never change, and a read in each probe's thread would take too many connections to Redis."""
        self._seen: dict[Token, ProbeHistory] = {}
        self._probes = Collector[Token, Probed]("probe", MAX_THREADS)

    def ask(self) -> None:
        """Start to probe each replica that is due."""
        attempts = self._recorder.attempts(LIVE)
        self._forget(attempts)
        now = self._recorder.now()
        for state, attempt in attempts:
            self._start(state, attempt, now)

    def collect(self, until: float) -> None:
        """Process the answers that have arrived by `until` (monotonic seconds)."""
        each(self._observe, self._recorder.attempts(LIVE), self._probes.collect(until))

    def _start(self, state: Deployment, attempt: Attempt, now: datetime) -> None:
        token = attempt.request.token
        if attempt.machine is None or attempt.machine.address is None:
            return
        settled = attempt.phase is Phase.READY
        seen = self._seen.get(token)
        if seen is None:
            # A new sweeper must not probe all ready replicas, which may be a thousand, in its first sweep.
            seen = self._seen[token] = ProbeHistory(due=_next_turn(token, now) if settled else now)
        if now >= seen.due or not settled or seen.failures:
            key = self._keys.get(state.id) or self._log.secrets(state.id).replica
            self._keys[state.id] = key
            self._probes.ask(token, self._probe, state, attempt, attempt.machine.address, key, now)

    def _probe(self, state: Deployment, attempt: Attempt, address: str, key: str, now: datetime) -> Probed:
        failure = self._ask(address, state.recipe.service.readiness_probe, key=key)
        first = failure is None and attempt.phase is Phase.STARTING
        if first:  # an engine that passes its probe may still fail every request
            failure = self._cannot_complete(address, key=key, model=attempt.request.boot.served_names[0])
        enforced = not first or self._key_is_enforced(address)
        return Probed(asked_at=now, address=address, failure=failure, key_enforced=enforced)

    def _observe(self, state: Deployment, attempt: Attempt, probed: Probed) -> None:
        token = attempt.request.token
        if attempt.machine is None or attempt.machine.address != probed.address:
            return
        seen = self._seen[token]
        seen.due = _next_turn(token, probed.asked_at)
        seen.failures = 0 if probed.failure is None else seen.failures + 1
        if attempt.phase is Phase.READY and seen.failures == 1:
            return  # one failure may be a lost request
        why = probed.failure and self._recorder.masked(state, probed.failure)
        too_soon = seen.recorded_at is not None and probed.asked_at - seen.recorded_at < RECORDED_EVERY
        throttled = too_soon and seen.recorded >= RECORDED_FIRST
        if why and attempt.phase is Phase.STARTING and why != attempt.probe_says and not throttled:
            seen.recorded_at, seen.recorded = probed.asked_at, seen.recorded + 1
            self._recorder.append(state, ProbeFailed(**self._recorder.stamp(), attempt=attempt.number, why=why))
        verdict = verdict_on_probe(attempt, why)
        if isinstance(verdict, BecameReady) and not probed.key_enforced:
            fact = KeyNotEnforced(**self._recorder.stamp(), attempt=attempt.number, url=verdict.address)
            self._recorder.append(state, fact)
        self._recorder.record(state, attempt, verdict)

    def _forget(self, attempts: Sequence[tuple[Deployment, Attempt]]) -> None:
        """Drop the state of replicas that are not live any more."""
        ids = {state.id for state, _ in attempts}
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in ids}
        known = {attempt.request.token for _, attempt in attempts}
        self._seen = {token: seen for token, seen in self._seen.items() if token in known}
        self._probes.retain(known)


def _next_turn(token: Token, after: datetime) -> datetime:
    """The time of the next probe: one per interval, at an offset that is derived from the token."""
    offset = PROBE_READY_EVERY * (crc32(token.encode()) / 2**32)
    elapsed = (after - EPOCH - offset) % PROBE_READY_EVERY
    return after - elapsed + PROBE_READY_EVERY
