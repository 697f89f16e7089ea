"""PURE: refusals of clouds, and which offers they rule out until when."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, assert_never

from msgspec import Struct

from workers.placement.offer import Offer

BACK_OFF_LIMIT = 5
"""Number of consecutive back-offs up to which the wait doubles."""

AHEAD = timedelta(minutes=15)
"""An answer that is later than now by more than this is by a clock that was ahead: nobody knows how old it is."""


class Scope(StrEnum):
    """What a refusal rules out beside the refused offers."""

    ZONE = "zone"  # this type and lifecycle in this zone
    REGION = "region"  # this family and lifecycle in this region; the whole region for the codes in WHOLE_REGION
    GPU = "gpu"  # this GPU on the whole cloud
    CLOUD = "cloud"  # everything on this cloud
    BACK_OFF = "back off"  # nothing: the request rate was too high
    BUG = "bug"  # this request: it is malformed


LACKS_PERMISSION = frozenset(("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"))
"""Codes of AWS that an organisation's policy causes in one region, and the account's own policies in all."""

ACCOUNT_WIDE = LACKS_PERMISSION | {"ParameterNotFound"}
"""Codes that rule out the whole cloud once a second region has given them."""

WHOLE_REGION = ACCOUNT_WIDE | {
    "UnauthorizedOperation.Policy", "PendingVerification.Region", "NoSuchRegion", "MaxFleetCountExceeded",
    "DefaultVpcDoesNotExist", "VPCIdNotSpecified", "VPCResourceNotSpecified", "MissingInput", "InvalidAMIID.NotFound",
    "CONDITION_NOT_MET.Location", "subnetworkNotFound", "IP_SPACE_EXHAUSTED", "IP_SPACE_EXHAUSTED_WITH_DETAILS",
}  # fmt: skip
"""Codes of the scope REGION that do not depend on the machine type."""

MISCONFIGURED = frozenset((
    "ParameterNotFound", "InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "OptInRequired.Marketplace",
    "InvalidBlockDeviceMapping.TooSmall", "diskTooSmall", "imageNotFound", "ImageOfAnotherCloud", "PortOutOfRange",
))  # fmt: skip
"""Codes of requests that the cloud will never accept: another recipe is necessary, and so another launch."""


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason for which a cloud refused one or more of a request's offers."""

    offers: tuple[Offer, ...]
    """The refused offers of the request."""
    sentence: str
    """Cause and mend for people, without a full stop; for an unknown code, the cloud's text."""
    code: str
    """The cloud's error code."""
    scope: Scope
    lasts: timedelta
    """Time after which the offers may be tried again."""
    zones_with_capacity: tuple[str, ...] = ()
    """Zones that the refusal recommends instead; AWS: zone ids."""


class Recorded(Protocol):
    """An answer of a cloud to one launch call, from the log."""

    @property
    def at(self) -> datetime: ...
    @property
    def refusals(self) -> tuple[Refusal, ...]: ...


def blocking(offer: Offer, recorded: Iterable[Recorded], now: datetime) -> Refusal | None:
    """The newest refusal in force that rules out `offer`, or None. `recorded` is in the order of time.

    A later refusal that recommends the offer's zone lifts an earlier refusal of scope ZONE. A code in ACCOUNT_WIDE
    rules out the whole cloud while refusals of two regions are in force.
    """
    against: Refusal | None = None
    regions: dict[str, set[str]] = {}
    for record in _not_ahead(recorded, now):
        for refusal in record.refusals:
            if _names(refusal, offer) and against is not None and against.scope is Scope.ZONE:
                against = None
            elif now - record.at < refusal.lasts and (
                any(_ruled_out(offer, o, refusal) for o in refusal.offers) or _everywhere(offer, refusal, regions)
            ):
                against = refusal
    return against


def in_force(recorded: Iterable[Recorded], now: datetime) -> list[Recorded]:
    """Those that can still rule an offer out or recommend a zone. For `blocking` and `hinted`, they are the same."""
    return [
        record
        for record in _not_ahead(recorded, now)
        if any(now - record.at < refusal.lasts or refusal.zones_with_capacity for refusal in record.refusals)
    ]


def _not_ahead(recorded: Iterable[Recorded], now: datetime) -> list[Recorded]:
    """Leaves out answers whose times are ahead of now: each would count as newer than every later answer."""
    return [record for record in recorded if record.at - now <= AHEAD]


def _everywhere(offer: Offer, refusal: Refusal, regions: dict[str, set[str]]) -> bool:
    """Whether this is the second region that gave a code in ACCOUNT_WIDE. Adds to `regions`, by code."""
    if refusal.code not in ACCOUNT_WIDE or refusal.scope is not Scope.REGION:
        return False
    seen = regions.setdefault(refusal.code, set())
    seen |= {o.region for o in refusal.offers if o.cloud == offer.cloud}
    return len(seen) > 1


def hinted(offer: Offer, recorded: Iterable[Recorded], now: datetime) -> bool:
    """Whether a refusal in force recommends the offer's zone for its machine type."""
    known = _not_ahead(recorded, now)
    return any(_names(r, offer) and now - record.at < r.lasts for record in known for r in record.refusals)


def _names(refusal: Refusal, offer: Offer) -> bool:
    same_type = any((o.cloud, o.instance_type) == (offer.cloud, offer.instance_type) for o in refusal.offers)
    return same_type and offer.zone in refusal.zones_with_capacity


def back_off_until(recorded: Sequence[Recorded], now: datetime) -> datetime | None:
    """The time until which no launch call is made, or None. Doubles with each consecutive BACK_OFF refusal.

    A throttled call is no evidence about capacity, so a more expensive offer is not tried instead.
    """
    in_a_row, known = 0, _not_ahead(recorded, now)
    for record in reversed(known):
        if any(r.scope is not Scope.BACK_OFF for r in record.refusals):
            break
        in_a_row += 1
    if in_a_row == 0:
        return None
    newest = known[-1]
    until = newest.at + max(r.lasts for r in newest.refusals) * 2 ** (min(in_a_row, BACK_OFF_LIMIT) - 1)
    return until if now < until else None


def _ruled_out(offer: Offer, refused: Offer, refusal: Refusal) -> bool:
    if offer.cloud != refused.cloud:
        return False
    same_life = offer.spot == refused.spot
    match refusal.scope:
        case Scope.CLOUD:
            return True
        case Scope.GPU:
            return same_life and offer.accelerator == refused.accelerator
        case Scope.REGION:
            alike = same_life and _family(offer) == _family(refused)
            return offer.region == refused.region and (alike or refusal.code in WHOLE_REGION)
        case Scope.ZONE | Scope.BUG:
            return same_life and offer.zone == refused.zone and offer.instance_type == refused.instance_type
        case Scope.BACK_OFF:
            return False  # see back_off_until
        case _:
            assert_never(refusal.scope)


def _family(offer: Offer) -> str:
    """The unit of quotas: on EC2 the type's first letter (`p4d.24xlarge` and `p5.48xlarge` are P), on GCE the GPU."""
    return offer.instance_type[:1] if offer.cloud == "aws" else offer.accelerator or offer.instance_type
