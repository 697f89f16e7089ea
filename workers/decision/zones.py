"""PURE: the zones of spot replicas: which to avoid after preemptions and failures, and which is best for one more."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import NamedTuple

from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.placement.offer import Offer

PREEMPTIONS = 2
"""Number of preemptions in one zone within SHUNNED_FOR after which it is avoided for SHUNNED_FOR."""

SHUNNED_FOR = timedelta(hours=1)

SPREAD_WORTH = Decimal(2)
"""Maximum price of a spot machine in another zone, as a multiple of the cheapest one. Replicas are spread because a
shortage may preempt all spot machines of a zone. By the price table, three replicas of Mixtral in three zones cost a
fifth more than in the cheapest zone, and half of their on-demand price."""


class Zone(NamedTuple):
    """One zone of one cloud. A shortage affects a whole zone."""

    cloud: str
    region: str
    zone: str


class Region(NamedTuple):
    """One region of one cloud. A call without an answer says nothing good of the whole region."""

    cloud: str
    region: str


def region_of(offer: Offer) -> Region:
    return Region(offer.cloud, offer.region)


def zone_of(offer: Offer) -> Zone:
    return Zone(offer.cloud, offer.region, offer.zone)


def shunned(attempts: Iterable[Attempt], now: datetime) -> frozenset[Zone]:
    """The zones with PREEMPTIONS preemptions within SHUNNED_FOR, the last of them less than SHUNNED_FOR ago."""
    times: defaultdict[Zone, list[datetime]] = defaultdict(list)
    for attempt in attempts:
        if attempt.phase is Phase.PREEMPTED and attempt.gone_at is not None:
            times[zone_of(attempt.offer)].append(attempt.gone_at)
    return frozenset(zone for zone, gone in times.items() if _repeated(sorted(gone)[-PREEMPTIONS:], now))


def _repeated(last: Sequence[datetime], now: datetime) -> bool:
    return len(last) == PREEMPTIONS and last[-1] - last[0] <= SHUNNED_FOR and now - last[-1] < SHUNNED_FOR


def crashed_in(failures: Iterable[Attempt]) -> frozenset[Zone]:
    """The zones where failed machines ran or were requested; never `local`, since the alternative to it costs money."""
    offers = (o for a in failures for o in ((a.machine.offer,) if a.machine is not None else a.request.offers))
    return frozenset(zone_of(offer) for offer in offers if offer.cloud != "local")


def spread(offers: Sequence[Offer], attempts: Iterable[Attempt]) -> tuple[Offer, ...]:
    """Those of the spot `offers` that one call for a further replica may use, the best zones first.

    `offers` are in the ladder's order. The best zones have the fewest live spot replicas, among the sound offers that
    cost at most SPREAD_WORTH times the first one. Zones with more replicas are left out, because the cloud may choose
    any offer of the call.
    """
    if not offers:
        return ()
    held = Counter(zone_of(a.offer) for a in attempts if a.phase in LIVE and a.offer.spot)
    sound = [offer for offer in offers if not offer.doubtful] or offers
    limit = (sound[0].usd_per_hour or Decimal(0)) * SPREAD_WORTH
    near = list(takewhile(lambda offer: (offer.usd_per_hour or Decimal(0)) <= limit, sound))
    fewest = min(held[zone_of(offer)] for offer in near)
    best = [offer for offer in near if held[zone_of(offer)] == fewest]
    others = [offer for offer in offers if held[zone_of(offer)] <= fewest and offer not in best]
    return (*best, *others)
