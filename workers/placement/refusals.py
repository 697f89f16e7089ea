"""PURE: what a cloud's refusals rule out, and until when."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, assert_never

from msgspec import Struct

from workers.placement.offer import Offer

BACK_OFFS_MOST = 5
"""After so many in a row, the cloud is asked for the next offer all the same."""


class Scope(StrEnum):
    """How much else a refusal rules out."""

    ZONE = "zone"  # this type and lifecycle in this zone
    REGION = "region"  # this family and lifecycle in this region
    GPU = "gpu"  # this GPU on the whole cloud
    CLOUD = "cloud"  # everything on this cloud
    BACK_OFF = "back off"  # nothing: asked too fast
    BUG = "bug"  # this one request: we asked for something malformed


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason why one or more of a request's offers cannot be had now."""

    offers: tuple[Offer, ...]
    """Those of the request's offers that it was said of."""
    sentence: str
    """In plain words, without a full stop; an unknown code's own text."""
    code: str
    """As the cloud writes it."""
    scope: Scope
    lasts: timedelta
    """For how long it is worth believing."""
    zones_with_capacity: tuple[str, ...] = ()
    """Where the refusal itself said to try instead; AWS: zone ids."""


class Recorded(Protocol):
    """One answer of a cloud, as the log has it."""

    @property
    def at(self) -> datetime: ...
    @property
    def refusals(self) -> tuple[Refusal, ...]: ...


def blocking(offer: Offer, recorded: Iterable[Recorded], now: datetime) -> Refusal | None:
    """The newest refusal that still speaks against asking for `offer`; `recorded` is in the order of time.

    A later refusal that names the offer's zone as having capacity takes back what was said of that zone before.
    """
    against: Refusal | None = None
    for record in recorded:
        for refusal in record.refusals:
            if _names(refusal, offer) and against is not None and against.scope is Scope.ZONE:
                against = None
            elif now - record.at < refusal.lasts and any(_ruled_out(offer, o, refusal.scope) for o in refusal.offers):
                against = refusal
    return against


def hinted(offer: Offer, recorded: Iterable[Recorded], now: datetime) -> bool:
    """Whether a refusal that still counts named the offer's zone as having capacity for it."""
    return any(_names(r, offer) and now - record.at < r.lasts for record in recorded for r in record.refusals)


def _names(refusal: Refusal, offer: Offer) -> bool:
    same_type = any((o.cloud, o.instance_type) == (offer.cloud, offer.instance_type) for o in refusal.offers)
    return same_type and offer.zone in refusal.zones_with_capacity


def back_off_until(recorded: Sequence[Recorded], now: datetime) -> datetime | None:
    """Until when to ask nobody: the newest answer was to slow down, and its time is not over.

    Going on to a dearer offer would be the wrong answer to a throttle; so it is waited for, longer each time.
    """
    in_a_row = 0
    for record in reversed(recorded):
        if any(r.scope is not Scope.BACK_OFF for r in record.refusals):
            break
        in_a_row += 1
    if in_a_row == 0 or in_a_row > BACK_OFFS_MOST:
        return None
    newest = recorded[-1]
    until = newest.at + max(r.lasts for r in newest.refusals) * 2 ** (in_a_row - 1)
    return until if now < until else None


def _ruled_out(offer: Offer, refused: Offer, scope: Scope) -> bool:
    if offer.cloud != refused.cloud:
        return False
    same_life = offer.spot == refused.spot
    match scope:
        case Scope.CLOUD:
            return True
        case Scope.GPU:
            return same_life and offer.accelerator == refused.accelerator
        case Scope.REGION:
            return same_life and offer.region == refused.region and _family(offer) == _family(refused)
        case Scope.ZONE | Scope.BUG:
            return same_life and offer.zone == refused.zone and offer.instance_type == refused.instance_type
        case Scope.BACK_OFF:
            return False  # see back_off_until
        case _:
            assert_never(scope)


def _family(offer: Offer) -> str:
    """What quotas count by: EC2 the types' first letter (`p4d.24xlarge` and `p5.48xlarge` are P), GCE the GPU."""
    return offer.instance_type[:1] if offer.cloud == "aws" else offer.accelerator or offer.instance_type
