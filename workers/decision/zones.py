"""PURE: the zones of spot replicas: which to avoid after preemptions and crashes, and where one more is best put."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import NamedTuple

from workers.deployment.attempt import LIVE, Attempt, Phase
from workers.placement.offer import Offer

PREEMPTIONS = 2
"""So many in one zone, each within SHUNNED_FOR of the one before, and it is left alone for SHUNNED_FOR."""

SHUNNED_FOR = timedelta(hours=1)

SPREAD_WORTH = Decimal(2)
"""What may be paid, of the cheapest price, for a zone of its own. A zone that runs short takes back all of its spot
machines at once. By the price table three replicas of Mixtral in three zones cost a fifth more than in the one cheapest
zone, and half of what they cost on demand."""


class Zone(NamedTuple):
    """Where machines come and go together."""

    cloud: str
    region: str
    zone: str


def zone_of(offer: Offer) -> Zone:
    return Zone(offer.cloud, offer.region, offer.zone)


def shunned(attempts: Iterable[Attempt], now: datetime) -> frozenset[Zone]:
    """Where spot was taken back twice within an hour, for an hour since the last time."""
    times: defaultdict[Zone, list[datetime]] = defaultdict(list)
    for attempt in attempts:
        if attempt.phase is Phase.PREEMPTED and attempt.gone_at is not None:
            times[zone_of(attempt.offer)].append(attempt.gone_at)
    return frozenset(zone for zone, gone in times.items() if _often(sorted(gone)[-PREEMPTIONS:], now))


def _often(last: Sequence[datetime], now: datetime) -> bool:
    return len(last) == PREEMPTIONS and last[-1] - last[0] <= SHUNNED_FOR and now - last[-1] < SHUNNED_FOR


def crashed_in(failures: Iterable[Attempt]) -> frozenset[Zone]:
    """Where the machines that failed stood, or were asked for. This computer is no zone: to leave it begins to cost."""
    offers = (o for a in failures for o in ((a.machine.offer,) if a.machine is not None else a.request.offers))
    return frozenset(zone_of(offer) for offer in offers if offer.cloud != "local")


def spread(offers: Sequence[Offer], attempts: Iterable[Attempt]) -> tuple[Offer, ...]:
    """Of spot `offers`, in the ladder's order, those that a call for one more replica may take, the best zone's first.

    The best zone has the fewest of the live spot replicas among the sound offers that cost at most SPREAD_WORTH of
    the first; fuller zones are left out, for the cloud chooses among what a call names.
    """
    if not offers:
        return ()
    held = Counter(zone_of(a.offer) for a in attempts if a.phase in LIVE and a.offer.spot)
    sound = [offer for offer in offers if not offer.doubtful] or offers
    most = (sound[0].usd_per_hour or Decimal(0)) * SPREAD_WORTH
    near = list(takewhile(lambda offer: (offer.usd_per_hour or Decimal(0)) <= most, sound))
    fewest = min(held[zone_of(offer)] for offer in near)
    best = [offer for offer in near if held[zone_of(offer)] == fewest]
    others = [offer for offer in offers if held[zone_of(offer)] <= fewest and offer not in best]
    return (*best, *others)
