"""PURE: how many replicas are spot and how many on demand, what is lacking, and which offers to request."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple, assert_never

from msgspec import Struct
from msgspec.structs import replace

from recipes.schema import Recipe
from workers.decision.zones import Zone, crashed_in, shunned, spread, zone_of
from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.placement.batches import batch
from workers.placement.ladder import Rung
from workers.placement.offer import Offer
from workers.placement.planner import wants_spot
from workers.placement.refusals import Recorded, Refusal, blocking, hinted, in_force

SPARE_AGAIN = timedelta(minutes=10)
"""Minimum time from a refusal until its offers are requested again for a spare. Doubled with each further refusal, at
most SPARE_DOUBLED times, so that a shortage of days does not fill the log."""

SPARE_DOUBLED = 3
SPARE_FORGETS = timedelta(hours=6)
"""Age from which a refusal no longer counts for the doubling."""


class Mix(Struct, frozen=True, kw_only=True):
    """How many replicas of a deployment are spot or on demand. The default takes any offer of the ladder."""

    spot: bool = False
    """Whether replicas are spot, except for `base`."""
    base: int = 0
    """Number of replicas that are always on demand."""
    spare: int = 0
    """Number of spot replicas in addition to the wanted number."""
    fallback: bool = False
    """Whether on-demand replicas replace spot ones while no sound spot offer is open: on-demand fallbacks."""


class Lack(StrEnum):
    """What the next machine is needed for."""

    ANY = "a replica"  # any offer of the ladder
    ON_DEMAND = "an on-demand replica"  # one of `base`
    SPOT = "a spot replica"
    SPARE = "a spare"  # in addition to the wanted number, or to replace an on-demand fallback: not urgent


class _Held(NamedTuple):
    """Live replicas, by the part of the mix that they count for."""

    on_demand: list[Attempt]
    spot: list[Attempt]


def mix_of(recipe: Recipe, *, spot: bool) -> Mix:
    """The mix that the recipe's policy describes. `spot`: the launch requested spot."""
    if not wants_spot(recipe, spot):
        return Mix()
    policy = recipe.service.replica_policy
    return Mix(
        spot=True,
        base=policy.base_ondemand_fallback_replicas,
        spare=policy.num_overprovision,
        fallback=policy.dynamic_ondemand_fallback,
    )


def lacks(mix: Mix, wanted: int, attempts: Iterable[Attempt]) -> tuple[Lack, ...]:
    """What is missing for `wanted` replicas, the most urgent first; a spare is the last."""
    live = [a for a in attempts if a.phase in LIVE]
    if not mix.spot:
        return (Lack.ANY,) if len(live) < wanted else ()
    base, for_spot, spare = _numbers(mix, wanted)
    held = _held(base, live)
    found = []
    if len(held.on_demand) < base:
        found.append(Lack.ON_DEMAND)
    fallbacks = max(0, len(held.on_demand) - base)
    if len(held.spot) + fallbacks < for_spot:
        found.append(Lack.SPOT)
    elif len(held.spot) < for_spot + spare:
        # One at a time, because a fallback and the spare that replaces it are both billed until the spare is ready.
        on_its_way = any(a.phase in (Phase.PROVISIONING, Phase.STARTING) for a in held.spot)
        if len(held.spot) + fallbacks < for_spot + spare or not on_its_way:
            found.append(Lack.SPARE)
    return tuple(found)


def surplus(mix: Mix, wanted: int, attempts: Iterable[Attempt]) -> Attempt | None:
    """The replica to end: the least ready, then the most expensive, then the newest; None if there is no excess.

    An on-demand fallback is in excess as soon as a spot replica is ready in its place.
    """
    live = [a for a in attempts if a.phase in LIVE]
    if not mix.spot:
        return _least(live) if len(live) > wanted else None
    base, for_spot, spare = _numbers(mix, wanted)
    held = _held(base, live)
    ready = sum(a.phase is Phase.READY for a in held.spot)
    if len(held.on_demand) > base + max(0, for_spot - ready):
        return _least(held.on_demand)
    if len(held.spot) > for_spot + spare:
        return _least(held.spot)
    return None


def going(mix: Mix, wanted: int, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """The replicas that end when a deployment is scaled down to `wanted`, in the order of their ends."""
    left, found = list(attempts), []
    while over := surplus(mix, wanted, left):
        left.remove(over)
        found.append(over)
    return tuple(found)


def relieved(mix: Mix, wanted: int, attempts: Iterable[Attempt], over: Attempt) -> bool:
    """Whether `over` is a fallback that a ready spot replica replaces; False if the deployment was scaled down."""
    on_demand = sum(a.phase in LIVE and _on_demand(a.offer) for a in attempts)
    return mix.spot and _on_demand(over.offer) and on_demand <= wanted


def draining_for(lack: Lack, attempts: Iterable[Attempt]) -> Attempt | None:
    """The draining replica that can fill `lack` immediately: the cheapest, then the newest; None if there is none.

    One that drains because it failed is not kept.
    """
    draining = [a for a in attempts if a.phase is Phase.DRAINING and a.failure is None and _may_do(lack, a.offer)]
    return min(draining, key=lambda a: (a.offer.usd_per_hour or 0, -a.number), default=None)


def open_offers(
    lack: Lack,
    mix: Mix,
    *,
    rungs: Iterable[Rung],
    attempts: Sequence[Attempt],
    failures: Iterable[Attempt],
    refusals: Sequence[Recorded],
    now: datetime,
) -> tuple[Offer, ...]:
    """The offers for one call that fills `lack`, the best first; empty if none is open now.

    `rungs`: the ladder. `failures`: the machines that failed in a row, whose zones are avoided. `refusals`: oldest
    first. Spot goes to the zone with the fewest live spot replicas; zones with more are left out of the call.
    """
    recorded = in_force(_prolonged(refusals, now) if lack is Lack.SPARE else refusals, now)
    free = [rung.offer for rung in rungs if rung.usable and blocking(rung.offer, recorded, now) is None]
    bad, crashed = shunned(attempts, now), crashed_in(failures)
    ranks = {offer: s for offer in free if (s := _rank(offer, lack, mix, bad, crashed)) is not None}
    if not ranks:
        return ()
    best = min(ranks.values())
    chosen: Sequence[Offer] = [offer for offer in free if ranks.get(offer) == best]
    if chosen[0].spot:
        chosen = spread([offer for offer in chosen if offer.spot], attempts)
    alike = [o for o in chosen if _price(o) == _price(chosen[0])]
    first = next((o for o in alike if hinted(o, recorded, now)), chosen[0])
    return batch([first, *(o for o in chosen if o != first)])


class _Rank(IntEnum):
    """How good an offer is for a lack, the best first."""

    SOUND = 1
    CRASHED = 2  # in the zone of a machine that failed in the current row of failures
    FALLBACK = 3  # on demand instead of spot
    FALLBACK_CRASHED = 4
    DOUBTFUL = 5  # spot whose price is uncertain
    SHUNNED = 6  # spot in a zone with repeated preemptions: better than none


def _rank(offer: Offer, lack: Lack, mix: Mix, bad: frozenset[Zone], crashed: frozenset[Zone]) -> _Rank | None:
    """How good the offer is; None if it cannot fill `lack`."""
    if not _may_do(lack, offer):
        return None
    zone = zone_of(offer)
    if offer.spot and zone in bad:
        return None if lack is Lack.SPARE else _Rank.SHUNNED
    if _on_demand(offer) and lack is Lack.SPOT:
        if not mix.fallback:
            return None
        return _Rank.FALLBACK_CRASHED if zone in crashed else _Rank.FALLBACK
    if offer.spot and offer.doubtful and mix.fallback:
        return None if lack is Lack.SPARE else _Rank.DOUBTFUL
    return _Rank.CRASHED if zone in crashed else _Rank.SOUND


def _may_do(lack: Lack, offer: Offer) -> bool:
    match lack:
        case Lack.ANY | Lack.SPOT:
            return True
        case Lack.ON_DEMAND:
            return not offer.spot
        case Lack.SPARE:
            return not _on_demand(offer)
        case _:
            assert_never(lack)


def _on_demand(offer: Offer) -> bool:
    """Whether it is an on-demand machine of a cloud; a local one is neither on demand nor spot, and counts for both."""
    return not offer.spot and offer.cloud != "local"


def _numbers(mix: Mix, wanted: int) -> tuple[int, int, int]:
    """The numbers of replicas that are always on demand, that are spot, and that are spares."""
    base = min(mix.base, wanted)
    return base, wanted - base, mix.spare if wanted else 0


def _held(base: int, live: Sequence[Attempt]) -> _Held:
    on_demand = [a for a in live if _on_demand(a.offer)]
    here = [a for a in live if a.offer.cloud == "local"]
    for_base = max(0, base - len(on_demand))
    spot = [a for a in live if a.offer.spot]
    return _Held([*on_demand, *here[:for_base]], [*spot, *here[for_base:]])


def _least(live: Iterable[Attempt]) -> Attempt:
    order = {Phase.PROVISIONING: 0, Phase.STARTING: 1, Phase.NOT_READY: 2, Phase.READY: 3}
    return min(live, key=lambda a: (order[a.phase], -(a.offer.usd_per_hour or 0), -a.number))


def _price(offer: Offer) -> tuple[object, ...]:
    return (offer.instance_type, offer.usd_per_hour, bool(offer.doubtful))


class _Prolonged(Struct, frozen=True):
    """Refusals that last longer than their cloud's code requires."""

    at: datetime
    refusals: tuple[Refusal, ...]


def _prolonged(recorded: Iterable[Recorded], now: datetime) -> list[Recorded]:
    times: Counter[tuple[Zone, str]] = Counter()
    found: list[Recorded] = []
    for record in recorded:
        if now - record.at < SPARE_FORGETS:
            times.update({(zone_of(o), o.instance_type) for refusal in record.refusals for o in refusal.offers})
        longer = []
        for refusal in record.refusals:
            count = min((times[zone_of(o), o.instance_type] for o in refusal.offers), default=1)
            minimum = SPARE_AGAIN * 2 ** min(max(count - 1, 0), SPARE_DOUBLED)
            longer.append(replace(refusal, lasts=max(refusal.lasts, minimum)))
        found.append(_Prolonged(record.at, tuple(longer)))
    return found
