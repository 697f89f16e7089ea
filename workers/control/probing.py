"""Probes replicas in threads that a later sweep collects; settled ones take turns, spread over an interval."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zlib import crc32

from msgspec import Struct

from recipes.schema import ReadinessProbe
from workers.control.collector import Collector
from workers.control.recording import Recorder, each
from workers.decision.verdict import Ready, verdict_on_probe
from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.deployment.events import DeploymentId, KeyNotEnforced, ProbeFailed
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.machines import Token

PROBE_READY_EVERY = timedelta(seconds=10)
"""As SkyPilot; a replica that is not ready is probed at every sweep, since somebody waits."""

AT_ONCE = 128
"""Replicas that never answer hold a thread each for their probe's timeout; the others want theirs meanwhile."""

TOLD_AT_ONCE = 5
TOLD_EVERY = timedelta(seconds=15)
"""Why a probe fails may differ with every answer: after so many the log grows at this pace. The first ones are told at
once, for the last of them may be what people read when the replica is given up.
"""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Probe(Protocol):
    """None if the replica at an address is ready; else why not, in a few words."""

    def __call__(self, address: str, asked: ReadinessProbe, *, key: str) -> str | None: ...


class Completes(Protocol):
    """None if the replica at an address completes sentences, or is not there for that; else why not."""

    def __call__(self, address: str, *, key: str, model: str) -> str | None: ...


class Probed(Struct, frozen=True, kw_only=True):
    """What a replica said."""

    asked_at: datetime
    address: str
    """Where it was asked: by the time it has answered, its machine may have another address."""
    failure: str | None
    """Why the readiness probe failed; None: it passed."""
    key_enforced: bool


class ProbeHistory(Struct, kw_only=True):
    """What is remembered of a replica between sweeps; losing it costs a probe."""

    due: datetime
    failures: int = 0
    told_at: datetime | None = None
    """When a failing probe was last told of."""
    told: int = 0
    """How often."""


class Prober:
    """Asks every replica whether it is ready, and appends what changed."""

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
        """They never change; and a hundred threads that ask at once are more than Redis' client has connections for."""
        self._seen: dict[Token, ProbeHistory] = {}
        self._probes = Collector[Token, Probed]("probe", AT_ONCE)

    def ask(self) -> None:
        """Probe each replica that is due."""
        attempts = self._recorder.attempts(LIVE)
        self._forget(attempts)
        now = self._recorder.now()
        for state, attempt in attempts:
            self._start(state, attempt, now)

    def collect(self, until: float) -> None:
        """Look at the answers that have come by `until` (monotonic seconds)."""
        each(self._observe, self._recorder.attempts(LIVE), self._probes.collect(until))

    def _start(self, state: Deployment, attempt: Attempt, now: datetime) -> None:
        token = attempt.request.token
        if attempt.machine is None or attempt.machine.address is None:
            return
        settled = attempt.phase is Phase.READY
        seen = self._seen.get(token)
        if seen is None:
            # Whoever takes over a thousand ready replicas spreads them as well.
            seen = self._seen[token] = ProbeHistory(due=_next_turn(token, now) if settled else now)
        if now >= seen.due or not settled or seen.failures:
            key = self._keys.get(state.id) or self._log.secrets(state.id).replica
            self._keys[state.id] = key
            self._probes.ask(token, self._probe, state, attempt, attempt.machine.address, key, now)

    def _probe(self, state: Deployment, attempt: Attempt, address: str, key: str, now: datetime) -> Probed:
        failure = self._ask(address, state.recipe.service.readiness_probe, key=key)
        first = failure is None and attempt.phase is Phase.STARTING
        if first:  # nobody's request is to find out that all it can do is to answer its probe
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
            return  # one lost probe is no verdict
        why = probed.failure and self._recorder.masked(state, probed.failure)
        hushed = seen.told >= TOLD_AT_ONCE and seen.told_at and probed.asked_at - seen.told_at < TOLD_EVERY
        if why and attempt.phase is Phase.STARTING and why != attempt.probe_says and not hushed:
            seen.told_at, seen.told = probed.asked_at, seen.told + 1
            self._recorder.append(state, ProbeFailed(**self._recorder.stamp(), attempt=attempt.number, why=why))
        verdict = verdict_on_probe(attempt, why)
        if isinstance(verdict, Ready) and not probed.key_enforced:
            fact = KeyNotEnforced(**self._recorder.stamp(), attempt=attempt.number, url=verdict.address)
            self._recorder.append(state, fact)
        self._recorder.record(state, attempt, verdict)

    def _forget(self, attempts: Sequence[tuple[Deployment, Attempt]]) -> None:
        """Keep notes only of replicas that are there."""
        ids = {state.id for state, _ in attempts}
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in ids}
        known = {attempt.request.token for _, attempt in attempts}
        self._seen = {token: seen for token, seen in self._seen.items() if token in known}
        self._probes.retain(known)


def _next_turn(token: Token, after: datetime) -> datetime:
    """The replica's next turn: one in each interval, at a moment that its token draws."""
    drawn = PROBE_READY_EVERY * (crc32(token.encode()) / 2**32)
    waited = (after - EPOCH - drawn) % PROBE_READY_EVERY
    return after - waited + PROBE_READY_EVERY
