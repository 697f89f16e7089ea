"""What to do next for a deployment: a pure decision over its state, the time and the ladder."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from workers.deployment.events import LadderExhausted, OfferRefused
from workers.deployment.state import LIVE, Attempt, Deployment, Phase
from workers.placement.batches import batch
from workers.placement.blocks import back_off_until, blocking, hinted
from workers.placement.offer import Offer

PLAN_AGES = timedelta(minutes=10)
"""After so long, prices and clouds are looked at again before a machine is bought."""

START_TRIES = 2
"""So many machines in a row may fail to start an engine before the deployment is given up."""

NOT_READY_FOR = timedelta(seconds=180)
"""A replica that fails its probe for so long is replaced."""

ASKED_FOR = timedelta(minutes=30)
"""A cloud that gives no answer about one machine for so long is not asked again for it."""

RETRY_AFTER = timedelta(minutes=1)
"""A deployment that still answers asks again after this, doubled with each failure in a row, at most BACK_OFF_MOST."""

BACK_OFF_MOST = timedelta(minutes=30)

DECIDE_WITHIN = timedelta(minutes=10)
"""So long a deployment without any machine waits on a dry ladder for somebody to say "keep trying"."""

EARLY_DEATH = timedelta(minutes=5)
"""A replica that lived shorter than this after it was ready counts as a failure in a row."""


class Plan(Struct, frozen=True):
    """Look at clouds and prices, and write the ladder down."""


class Launch(Struct, frozen=True):
    """Intend a machine on one of these offers."""

    attempt: int
    replica: int
    offers: tuple[Offer, ...]


class Create(Struct, frozen=True):
    """Ask the cloud for the machine of an intent, or find it if it was asked for already."""

    attempt: Attempt


class GiveUp(Struct, frozen=True):
    """Decide the end of a replica."""

    attempt: int
    why: str
    failure: bool = False


class Terminate(Struct, frozen=True):
    """End the machine of a replica that was given up."""

    attempt: Attempt


class Publish(Struct, frozen=True):
    """Say where the deployment answers."""

    url: str


class Test(Struct, frozen=True):
    """Have the model finish a sentence through the endpoint."""

    url: str


class Exhaust(Struct, frozen=True):
    """Say that no rung is left for now."""

    why: str


class End(Struct, frozen=True):
    """Close the deployment: nothing of it is left."""

    failed: str | None = None


class Wait(Struct, frozen=True):
    """Nothing to do before something is observed, or before `until`."""

    until: datetime | None = None


Step: TypeAlias = Plan | Launch | Create | GiveUp | Terminate | Publish | Test | Exhaust | End | Wait


def next_step(state: Deployment, now: datetime) -> Step:
    """The one thing to do now. Ends and facts come first, then what is missing, then what people wait for."""
    for attempt in state.attempts:
        if attempt.phase is Phase.SHUTTING_DOWN:
            return Terminate(attempt)
    if state.ended:
        return Wait()
    if state.stopped_by is not None:
        return End()
    if surplus := _surplus(state):
        return GiveUp(surplus.number, "scaled down")
    for attempt in state.attempts:
        if attempt.phase is Phase.PROVISIONING and now < attempt.since + ASKED_FOR:
            return Create(attempt)
        if late := _too_late(attempt, now):
            return GiveUp(attempt.number, late, failure=True)
    return _served(state) or _missing(state, now) or Wait(until=_next_deadline(state))


def _served(state: Deployment) -> Step | None:
    """Replicas that are ready come before replicas that are missing: people wait for the endpoint."""
    addresses = [a.address for a in state.ready if a.address]
    if not addresses:
        return None
    if state.endpoint is None or state.endpoint.url not in addresses:
        return Publish(addresses[0])
    if state.test is None:
        return Test(state.endpoint.url)
    return None


def _surplus(state: Deployment) -> Attempt | None:
    """The replica to end where there are too many: the one that serves least, then the dearest, then the newest."""
    if len(state.live) <= state.wanted:
        return None
    order = {Phase.PROVISIONING: 0, Phase.STARTING: 1, Phase.NOT_READY: 2, Phase.READY: 3}
    return min(state.live, key=lambda a: (order[a.phase], -(a.offer.usd_per_hour or 0), -a.number))


def _too_late(attempt: Attempt, now: datetime) -> str | None:
    deadline = _deadline(attempt)
    if deadline is None or now < deadline:
        return None
    if attempt.phase is Phase.NOT_READY:
        return f"failed its readiness probe for {NOT_READY_FOR.total_seconds():.0f} s: {attempt.why}"
    if attempt.phase is Phase.PROVISIONING:
        return f"its cloud gave no answer for {ASKED_FOR.total_seconds() / 60:.0f} min. {attempt.progress}".strip()
    return f"its engine was not ready {(deadline - attempt.since).total_seconds():.0f} s after the machine started"


def _deadline(attempt: Attempt) -> datetime | None:
    if attempt.phase is Phase.STARTING:
        return attempt.since + attempt.request.boot.initial_delay
    if attempt.phase is Phase.NOT_READY:
        return attempt.since + NOT_READY_FOR
    if attempt.phase is Phase.PROVISIONING:
        return attempt.since + ASKED_FOR
    return None


def _next_deadline(state: Deployment) -> datetime | None:
    return min((d for a in state.attempts if (d := _deadline(a))), default=None)


def _missing(state: Deployment, now: datetime) -> Step | None:
    if len(state.live) >= state.wanted:
        return None
    failures = failures_in_a_row(state.attempts)
    if failures and not state.live:
        last = failures[-1]
        if last.ready_at is None and len(failures) >= START_TRIES:
            return End(failed=f"The engine failed to start {len(failures)} times in a row. The last time: {last.why}.")
    if state.exhausted is not None and not state.live and (step := _dry(state, state.exhausted, now)):
        return step
    if pause := _pause(state, failures, now):
        return Wait(until=pause)
    if state.planned_at is None or state.exhausted is not None or now - state.planned_at > PLAN_AGES:
        return Plan()
    if offers := open_offers(state, now):
        number = max((a.number for a in state.attempts), default=0) + 1
        return Launch(attempt=number, replica=_free_replica(state), offers=offers)
    why = why_dry(state)
    if not state.live and not refusals_of(state):
        return End(failed=why)  # asking again changes nothing until somebody mends something
    return Exhaust(why)


def _dry(state: Deployment, exhausted: LadderExhausted, now: datetime) -> Step | None:
    """A ladder on which all was refused is climbed again where somebody asked for that, or ended after a while."""
    if state.keep_trying is None:
        until = exhausted.at + DECIDE_WITHIN
        return End(failed=exhausted.why) if now >= until else Wait(until=until)
    if now >= state.keep_trying.until:
        return End(failed=exhausted.why)
    again = exhausted.at + state.keep_trying.every
    return Wait(until=again) if now < again else None


def _pause(state: Deployment, failures: Sequence[Attempt], now: datetime) -> datetime | None:
    """Until when to leave it after failures: a first failure is tried again at once."""
    if state.exhausted is not None and state.live:
        until = state.exhausted.at + min(RETRY_AFTER * 2 ** min(state.dry_in_a_row - 1, 6), BACK_OFF_MOST)
    elif len(failures) >= START_TRIES:
        doubled = RETRY_AFTER * 2 ** min(len(failures) - START_TRIES, 6)
        until = failures[-1].since + min(doubled, BACK_OFF_MOST)
    else:
        return back_off_until(refusals_of(state), now)
    return until if now < until else None


def failures_in_a_row(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """The machines that failed since the last one that lived, oldest first."""
    failures: list[Attempt] = []
    for attempt in attempts:
        lived = attempt.ready_at is not None and (
            attempt.phase in LIVE
            or attempt.phase is Phase.ENDED
            or (attempt.gone_at is not None and attempt.gone_at - attempt.ready_at > EARLY_DEATH)
        )
        if lived:
            failures.clear()
        elif attempt.phase is Phase.FAILED:
            failures.append(attempt)
    return tuple(failures)


def refusals_of(state: Deployment) -> list[OfferRefused]:
    """Every refusal, oldest first."""
    return sorted((a.refusal for a in state.attempts if a.refusal is not None), key=lambda refused: refused.at)


def open_offers(state: Deployment, now: datetime) -> tuple[Offer, ...]:
    """The cheapest rung that can be taken and is not ruled out by a refusal, with what the same call can try."""
    refusals = refusals_of(state)
    free = [r.offer for r in state.rungs if r.usable and blocking(r.offer, refusals, now) is None]
    if not free:
        return ()
    alike = [o for o in free if (o.instance_type, o.usd_per_hour) == (free[0].instance_type, free[0].usd_per_hour)]
    first = next((o for o in alike if hinted(o, refusals, now)), free[0])
    return batch([first, *(o for o in free if o != first)])


def why_dry(state: Deployment) -> str:
    """Why no rung of the ladder can be taken, causes counted by kind, and what mends it."""
    if not state.rungs:
        return (
            state.why_no_rungs or "No machine in the price table and none here satisfies this recipe with these limits."
        )
    causes = Counter(r.sentence for refused in refusals_of(state) for r in refused.refusals for _ in r.offers)
    causes.update(r.reason for r in state.rungs if not r.usable and r.reason)
    mends = dict.fromkeys(r.mend for r in state.rungs if not r.usable and r.mend)
    counted = "; ".join(f"{why} ({times})" for why, times in causes.most_common())
    sentence = f"No machine could be had. Of the offers: {counted}."
    return sentence + (" To mend it: " + "; or ".join(mends) + "." if mends else "")


def _free_replica(state: Deployment) -> int:
    taken = {a.replica for a in state.live}
    return next(n for n in range(1, len(taken) + 2) if n not in taken)
