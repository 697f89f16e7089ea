"""PURE: the offers that one launch call to a cloud can try together."""

from collections.abc import Sequence

from workers.placement.offer import Offer

BATCH_LIMIT = 50
"""Maximum number of offers in one call: EC2 accepts 50 launch specifications in an instant fleet."""


def batch(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """The first of `offers` (in price order) and the later ones that the same call can try; empty without offers.

    AWS on demand: the type's zones in the region, which cost the same. AWS spot: every type and zone of the region,
    among which the fleet chooses by price and capacity. GCP: the type's zones in the region. `local`: one.
    """
    if not offers:
        return ()
    first = offers[0]
    return tuple(offer for offer in offers if _together(first, offer))[:BATCH_LIMIT]


def _together(first: Offer, other: Offer) -> bool:
    if first == other:
        return True
    if first.cloud == "local" or (first.cloud, first.region, first.spot) != (other.cloud, other.region, other.spot):
        return False
    if first.cloud == "aws" and first.spot:
        return True
    return _alike(first) == _alike(other)


def _alike(offer: Offer) -> tuple[object, ...]:
    """A doubtful offer is not tried before its turn, even if the price that is used for it is the same."""
    return (offer.instance_type, offer.usd_per_hour, bool(offer.doubtful))
