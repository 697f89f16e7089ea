"""Probes replicas on an event loop, for a later sweep; probes of ready ones are spread over an interval."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from recipes.schema import ReadinessProbe
from workers.control.async_collector import AsyncCollector
from workers.control.probe_history import PROBE_READY_EVERY, Probed, ProbeHistory, next_turn
from workers.control.recording import Recorder, each
from workers.decision.verdict import (
    NO_EVIDENCE,
    BecameNotReady,
    BecameReady,
    Busy,
    Evidence,
    evidence_of,
    verdict_on_probe,
)
from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.deployment.events import DeploymentId, KeyNotEnforced, ProbeFailed
from workers.deployment.loads import Load
from workers.deployment.log import Log
from workers.deployment.state import Deployment
from workers.machines import Token
from workers.serving.boot import KEY_VARIABLE, probe_of
from workers.serving.unready import Unready

AT_ONCE = 768
"""Maximum number of concurrent probes, unless the limit of descriptors is known; most hosts' is 1,024."""

SLOW = 1.0
"""Seconds after which an answer is slow: the next probe of the replica lets those of other replicas begin before it."""

RECORDED_FIRST = 5
RECORDED_EVERY = timedelta(seconds=15)
"""Minimum time between two recorded reasons of failure after the first RECORDED_FIRST, which are recorded immediately:
a reason that differs with every answer must not fill the log.
"""

AWAITED = 100
"""Maximum number of starting replicas that are also probed between two sweeps. More would cost too much CPU."""

AGAIN_AFTER = 0.4
"""Minimum time between two such rounds, in seconds."""

BATCH = 20
"""Number of answers after which those of starting replicas are processed: each may cost a write to Redis."""

KEY_REFUSALS = 3
"""Number of refusals of the key in a row after which a starting replica is given up: one may come from a proxy."""


class Probe(Protocol):
    """Returns None if the replica at an address is ready; otherwise why not."""

    async def __call__(self, address: str, asked: ReadinessProbe, *, key: str) -> Unready | None: ...


class Completes(Protocol):
    """Returns None if the replica at an address completes a sentence, or has another API; otherwise why not."""

    async def __call__(self, address: str, *, key: str, model: str, within: timedelta) -> Unready | None: ...


class Computes(Protocol):
    """Whether the counters of the engine at an address show that it computes tokens. May take seconds."""

    async def __call__(self, address: str, *, key: str) -> bool: ...


class Prober:
    """Probes every live replica, and appends what changed."""

    def __init__(
        self,
        recorder: Recorder,
        log: Log,
        *,
        probe: Probe,
        key_is_enforced: Callable[[str], Awaitable[bool]],
        cannot_complete: Completes,
        loads: Callable[[list[DeploymentId]], Mapping[DeploymentId, Load]],
        computes: Computes,
        at_once: int = AT_ONCE,
    ) -> None:
        """`loads`: reads the newest loads that the gateway has written. `at_once`: maximum of concurrent probes."""
        self._recorder = recorder
        self._log = log
        self._ask = probe
        self._key_is_enforced = key_is_enforced
        self._cannot_complete = cannot_complete
        self._loads = loads
        self._computes = computes
        self._keys: dict[DeploymentId, str] = {}
        """Cached: keys never change, and a read for each probe would load Redis."""
        self._seen: dict[Token, ProbeHistory] = {}
        self._starting: set[DeploymentId] = set()
        self._again_at = 0.0
        self._probes = AsyncCollector[Token, Probed]("probe", at_once)

    def ask(self) -> None:
        """Start to probe each replica that is due."""
        attempts = sorted(self._recorder.attempts(LIVE), key=_urgency)
        self._forget(attempts)
        self._starting = {state.id for state, attempt in attempts if attempt.phase is Phase.STARTING}
        self._again_at = time.monotonic() + AGAIN_AFTER
        now = self._recorder.now()
        for state, attempt in attempts:
            self._start(state, attempt, now)

    def collect(self, until: float) -> None:
        """Process the answers that have arrived by `until` (monotonic seconds)."""
        answers = dict(self._probes.collect(until))
        attempts = sorted(self._recorder.attempts(LIVE), key=_urgency)
        answered = [(state, attempt) for state, attempt in attempts if attempt.request.token in answers]
        for first in range(0, len(answered), BATCH):
            batch = answered[first : first + BATCH]
            each(self._observe, batch, [(a.request.token, answers[a.request.token]) for _, a in batch])
            self.catch_up()

    def catch_up(self) -> None:
        """Process the answers of starting replicas, and probe those again that may become ready.

        To be called often: between two sweeps, and where a sweep may take long.
        """
        starting = self._find_starting()
        if not starting:
            return
        tokens = {attempt.request.token for _, attempt in starting}
        each(self._observe, starting, self._probes.collect(time.monotonic(), only=tokens))
        if time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + AGAIN_AFTER
        awaited = [(s, a) for s, a in self._find_starting() if self._is_awaited(self._seen[a.request.token])]
        for state, attempt in awaited[:AWAITED]:
            self._start(state, attempt, self._recorder.now())

    def _find_starting(self) -> list[tuple[Deployment, Attempt]]:
        """The replicas that were starting at the last sweep, and still are."""
        states = [state for id_ in self._starting if (state := self._recorder.states.get(id_)) is not None]
        found = [(state, attempt) for state in states for attempt in state.attempts]
        return [(s, a) for s, a in found if a.phase is Phase.STARTING and a.request.token in self._seen]

    @staticmethod
    def _is_awaited(seen: ProbeHistory) -> bool:
        """Whether it may become ready at any moment. A refusal of the key counts once for each sweep."""
        return not seen.slow and not seen.key_refusals

    def _start(self, state: Deployment, attempt: Attempt, now: datetime) -> None:
        token = attempt.request.token
        if attempt.machine is None or attempt.machine.address is None or self._probes.is_pending(token):
            return
        settled = attempt.phase is Phase.READY
        seen = self._seen.get(token)
        if seen is None:
            # A new sweeper must not probe all ready replicas, which may be a thousand, in its first sweep.
            seen = self._seen[token] = ProbeHistory(due=next_turn(token, now) if settled else now)
        if seen.due - now > PROBE_READY_EVERY:  # the clock was set back
            seen.due = now
        if now >= seen.due or not settled or seen.failures:
            key = self._keys.get(state.id) or self._log.secrets(state.id).replica
            self._keys[state.id] = key
            asked = state.recipe.service.readiness_probe
            if asked.headers:
                asked = probe_of(state.recipe, self._recorder.secrets(state) | {KEY_VARIABLE: key})
            urgent = (not settled or seen.failures > 0) and not seen.slow
            self._probes.ask(token, self._probe, asked, attempt, attempt.machine.address, key, now, urgent=urgent)

    async def _probe(self, asked: ReadinessProbe, attempt: Attempt, address: str, key: str, now: datetime) -> Probed:
        began = time.monotonic()
        failure = await self._ask(address, asked, key=key)
        slow = time.monotonic() - began >= SLOW
        first = failure is None and attempt.phase is Phase.STARTING
        enforced = True
        if first:  # an engine that passes its probe may still fail every request
            model = attempt.request.boot.served_names[0]
            failure, enforced = await asyncio.gather(
                self._cannot_complete(address, key=key, model=model, within=asked.timeout),
                self._key_is_enforced(address),
            )
        silent = failure is not None and failure.silent and attempt.phase is Phase.READY
        computing = silent and await self._computes(address, key=key)
        return Probed(
            asked_at=now, address=address, failure=failure, key_enforced=enforced, computing=computing, slow=slow
        )

    def _observe(self, state: Deployment, attempt: Attempt, probed: Probed) -> None:
        token = attempt.request.token
        if attempt.machine is None or attempt.machine.address != probed.address:
            return
        seen = self._seen[token]
        self._count(seen, token, probed)
        evidence = self._evidence(state, attempt, probed)
        failure = probed.failure and replace(probed.failure, why=self._masked(state, seen, probed.failure.why))
        if failure is not None and attempt.phase is Phase.STARTING:
            self._tell(state, attempt, seen, failure, probed.asked_at)
        verdict = verdict_on_probe(attempt, failure, evidence, seen.failing_since)
        if failure is not None and attempt.phase is Phase.NOT_READY and attempt.is_ahead(self._recorder.now()):
            verdict = BecameNotReady(failure.why, seen.failing_since)  # the fold begins the wait again
        dead = evidence.checked is False  # by the gateway's check, which has failed several times
        if isinstance(verdict, BecameNotReady) and seen.failures == 1 and not dead:
            return  # one failure may be a lost request
        if isinstance(verdict, Busy):
            seen.failures, seen.failing_since = 0, None  # the next probe is sent at the usual interval
        if isinstance(verdict, BecameReady) and not probed.key_enforced:
            fact = KeyNotEnforced(**self._recorder.stamp(), attempt=attempt.number, url=verdict.address)
            self._recorder.append(state, fact)
        self._recorder.record(state, attempt, verdict)

    def _masked(self, state: Deployment, seen: ProbeHistory, why: str) -> str:
        if why != seen.why:
            seen.why, seen.masked = why, self._recorder.masked(state, why)
        return seen.masked

    def _count(self, seen: ProbeHistory, token: Token, probed: Probed) -> None:
        seen.due, seen.slow = next_turn(token, probed.asked_at), probed.slow
        failure = probed.failure
        seen.failures = 0 if failure is None else seen.failures + 1
        since = seen.failing_since or probed.asked_at
        seen.failing_since = None if failure is None else min(since, probed.asked_at)  # the clock may be set back
        seen.key_refusals = seen.key_refusals + 1 if failure is not None and failure.key_refused else 0

    def _evidence(self, state: Deployment, attempt: Attempt, probed: Probed) -> Evidence:
        """What else is known of a ready replica whose probe got no answer."""
        if probed.failure is None or not probed.failure.silent or attempt.phase is not Phase.READY:
            return NO_EVIDENCE
        load = self._loads([state.id]).get(state.id)
        return evidence_of(load, attempt.number, self._recorder.now(), computing=probed.computing)

    def _tell(
        self, state: Deployment, attempt: Attempt, seen: ProbeHistory, failure: Unready, asked_at: datetime
    ) -> None:
        """Append why a starting replica is not ready, if the reason is new, at a limited rate."""
        refused = seen.key_refusals >= KEY_REFUSALS
        too_soon = seen.recorded_at is not None and asked_at - seen.recorded_at < RECORDED_EVERY
        throttled = too_soon and seen.recorded >= RECORDED_FIRST and not refused
        said = (failure.why, refused) == (attempt.probe_says, attempt.key_refused) or throttled
        if said and not attempt.is_ahead(self._recorder.now()):
            return
        seen.recorded_at, seen.recorded = asked_at, seen.recorded + 1
        fact = ProbeFailed(**self._recorder.stamp(), attempt=attempt.number, why=failure.why, key_refused=refused)
        self._recorder.append(state, fact)

    def _forget(self, attempts: Sequence[tuple[Deployment, Attempt]]) -> None:
        """Drop the state of replicas that are not live any more."""
        ids = {state.id for state, _ in attempts}
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in ids}
        known = {attempt.request.token for _, attempt in attempts}
        self._seen = {token: seen for token, seen in self._seen.items() if token in known}
        self._probes.retain(known)


def _urgency(one: tuple[Deployment, Attempt]) -> int:
    """Starting replicas first, for which somebody waits; ready ones last."""
    return {Phase.STARTING: 0, Phase.READY: 2}.get(one[1].phase, 1)
