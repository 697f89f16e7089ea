"""PURE: how many replicas are spot and how many on demand, what is missing of either, and what to ask for then."""

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
from workers.placement.refusals import Recorded, Refusal, blocking, hinted

SPARE_AGAIN = timedelta(minutes=10)
"""An offer that refused is not asked again sooner for a spare, for which nobody waits; doubled with each refusal of
it, SPARE_DOUBLED times at most: a zone that is short of spot for days does not fill the log."""

SPARE_DOUBLED = 3
SPARE_FORGETS = timedelta(hours=6)


class Mix(Struct, frozen=True, kw_only=True):
    """What a deployment's replicas are to be. The defaults: whatever the ladder has."""

    spot: bool = False
    """Each replica is spot, but for the following."""
    base: int = 0
    """The first so many are always on demand."""
    spare: int = 0
    """So many more spot replicas than wanted are kept."""
    fallback: bool = False
    """Where no sound spot offer is open, on demand stands in."""


class Lack(StrEnum):
    """What one more machine is missing for."""

    ANY = "a replica"  # of a deployment that takes the ladder as it comes
    ON_DEMAND = "an on-demand replica"  # one of the base
    SPOT = "a spot replica"
    SPARE = "a spare"  # more than wanted, or to relieve an on-demand replica that stands in: nobody waits for it


class _Held(NamedTuple):
    """Live replicas, by what they are to the mix."""

    on_demand: list[Attempt]
    spot: list[Attempt]


def mix_of(recipe: Recipe, *, spot: bool) -> Mix:
    """What the recipe's policy comes to; `spot`: the person asked for it."""
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
    """What is missing of `wanted` replicas, the most pressing first; a spare comes last, and is not missed."""
    live = [a for a in attempts if a.phase in LIVE]
    if not mix.spot:
        return (Lack.ANY,) if len(live) < wanted else ()
    base, for_spot, spare = _numbers(mix, wanted)
    held = _held(base, live)
    found = []
    if len(held.on_demand) < base:
        found.append(Lack.ON_DEMAND)
    stand_ins = max(0, len(held.on_demand) - base)
    if len(held.spot) + stand_ins < for_spot:
        found.append(Lack.SPOT)
    elif len(held.spot) < for_spot + spare:
        # One at a time where it relieves a stand-in: until it is ready, both are paid for.
        on_its_way = any(a.phase in (Phase.PROVISIONING, Phase.STARTING) for a in held.spot)
        if len(held.spot) + stand_ins < for_spot + spare or not on_its_way:
            found.append(Lack.SPARE)
    return tuple(found)


def surplus(mix: Mix, wanted: int, attempts: Iterable[Attempt]) -> Attempt | None:
    """The replica to end where there are too many: the one that serves least, then the dearest, then the newest.

    An on-demand replica that stands in is one too many as soon as a spot replica is ready in its place.
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
    """The replicas that end when a deployment is scaled down to `wanted`, in the order in which they go."""
    left, found = list(attempts), []
    while over := surplus(mix, wanted, left):
        left.remove(over)
        found.append(over)
    return tuple(found)


def relieved(mix: Mix, wanted: int, attempts: Iterable[Attempt], over: Attempt) -> bool:
    """Whether the surplus `over` stood in for a spot replica that is ready now; else there was a scaling down."""
    on_demand = sum(a.phase in LIVE and _on_demand(a.offer) for a in attempts)
    return mix.spot and _on_demand(over.offer) and on_demand <= wanted


def draining_for(lack: Lack, attempts: Iterable[Attempt]) -> Attempt | None:
    """The draining replica that would do for `lack` at once, the cheapest of them, then the newest; or None."""
    draining = [a for a in attempts if a.phase is Phase.DRAINING and _may_do(lack, a.offer)]
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
    """The offers for one call that gets what is missing, the best first; empty where none is open now.

    `rungs`: the ladder. `failures`: the machines that failed in a row, whose zones are avoided. `refusals`: oldest
    first. Spot goes to the zone with the fewest of ours, and no call names a fuller one.
    """
    recorded = _patient(refusals, now) if lack is Lack.SPARE else refusals
    free = [rung.offer for rung in rungs if rung.usable and blocking(rung.offer, recorded, now) is None]
    bad, crashed = shunned(attempts, now), crashed_in(failures)
    standings = {offer: s for offer in free if (s := _standing(offer, lack, mix, bad, crashed)) is not None}
    if not standings:
        return ()
    best = min(standings.values())
    chosen: Sequence[Offer] = [offer for offer in free if standings.get(offer) == best]
    if chosen[0].spot:
        chosen = spread([offer for offer in chosen if offer.spot], attempts)
    alike = [o for o in chosen if _price(o) == _price(chosen[0])]
    first = next((o for o in alike if hinted(o, recorded, now)), chosen[0])
    return batch([first, *(o for o in chosen if o != first)])


class _Standing(IntEnum):
    """How good an offer is for a lack, the best first."""

    SOUND = 1
    CRASHED = 2  # a machine of ours failed in its zone just now
    STAND_IN = 3  # on demand instead of spot
    STAND_IN_CRASHED = 4
    DOUBTFUL = 5  # spot that may well cost as much as on demand
    SHUNNED = 6  # spot was taken back here too often: better than none


def _standing(offer: Offer, lack: Lack, mix: Mix, bad: frozenset[Zone], crashed: frozenset[Zone]) -> _Standing | None:
    """None: it does not do at all."""
    if not _may_do(lack, offer):
        return None
    zone = zone_of(offer)
    if offer.spot and zone in bad:
        return None if lack is Lack.SPARE else _Standing.SHUNNED
    if _on_demand(offer) and lack is Lack.SPOT:
        if not mix.fallback:
            return None
        return _Standing.STAND_IN_CRASHED if zone in crashed else _Standing.STAND_IN
    if offer.spot and offer.doubtful and mix.fallback:
        return None if lack is Lack.SPARE else _Standing.DOUBTFUL
    return _Standing.CRASHED if zone in crashed else _Standing.SOUND


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
    """A machine of a cloud's; the own computer is neither on demand nor spot, and does for both."""
    return not offer.spot and offer.cloud != "local"


def _numbers(mix: Mix, wanted: int) -> tuple[int, int, int]:
    """How many are on demand for certain, how many are to be spot, and how many spot ones are to spare."""
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


class _Patient(Struct, frozen=True):
    """A refusal that is believed for longer than its cloud's code asks for."""

    at: datetime
    refusals: tuple[Refusal, ...]


def _patient(recorded: Iterable[Recorded], now: datetime) -> list[Recorded]:
    times: Counter[tuple[Zone, str]] = Counter()
    found: list[Recorded] = []
    for record in recorded:
        if now - record.at < SPARE_FORGETS:
            times.update({(zone_of(o), o.instance_type) for refusal in record.refusals for o in refusal.offers})
        longer = []
        for refusal in record.refusals:
            often = min((times[zone_of(o), o.instance_type] for o in refusal.offers), default=1)
            least = SPARE_AGAIN * 2 ** min(max(often - 1, 0), SPARE_DOUBLED)
            longer.append(replace(refusal, lasts=max(refusal.lasts, least)))
        found.append(_Patient(record.at, tuple(longer)))
    return found
