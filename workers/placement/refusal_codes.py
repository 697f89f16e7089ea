"""PURE: what each code of a cloud's refusals rules out, and for how long: tables of every code that we know."""

import re
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, Scope

MINUTES = timedelta(minutes=5)  # stock comes and goes
HOUR = timedelta(hours=1)  # a quota stands until a person asked for more
DAY = timedelta(days=1)  # a type that a zone does not have
SECONDS = timedelta(seconds=5)

SAID_AT_MOST = 300
"""Characters of a cloud's own words that are passed on."""


class Ruling(Struct, frozen=True):
    """What follows from one code."""

    scope: Scope
    lasts: timedelta
    plain: str
    """For people; empty: the cloud's own words are plain enough, or the only ones there are."""


NO_CAPACITY = Ruling(Scope.ZONE, MINUTES, "no capacity right now")
NOT_SOLD_HERE = Ruling(Scope.ZONE, DAY, "this zone does not have this machine")
NO_SUCH_PLACE = Ruling(Scope.ZONE, DAY, "")  # the cloud's own words name it
PRICE_TOO_LOW = Ruling(Scope.ZONE, MINUTES, "the spot price is above what was offered")
QUOTA = Ruling(Scope.REGION, HOUR, "the quota for these machines in this region is used up or too small")
SPOT_QUOTA = Ruling(Scope.REGION, HOUR, "the spot quota in this region is used up or too small")
DISK_QUOTA = Ruling(Scope.REGION, HOUR, "the disk quota in this region is used up")
NO_NETWORK = Ruling(Scope.REGION, HOUR, "there is no default network here to put a machine into")
GPU_QUOTA = Ruling(Scope.GPU, HOUR, "the project's quota for GPUs in all regions is used up or too small")
NO_RIGHTS = Ruling(Scope.CLOUD, MINUTES, "the credentials do not allow it")
BAD_CREDENTIALS = Ruling(Scope.CLOUD, MINUTES, "the credentials are wrong or have expired")
ACCOUNT = Ruling(Scope.CLOUD, HOUR, "the account is not ready for this")
TOO_FAST = Ruling(Scope.BACK_OFF, SECONDS, "the cloud asks us to slow down")
UNWELL = Ruling(Scope.BACK_OFF, SECONDS, "the cloud had an error of its own")
OUR_BUG = Ruling(Scope.BUG, HOUR, "")

# Least of all that a code may mean: this machine in this zone, for a short while, in the cloud's own words.
UNKNOWN = Ruling(Scope.ZONE, SECONDS, "")

AWS: Mapping[str, Ruling] = {
    "InsufficientInstanceCapacity": NO_CAPACITY,
    "InsufficientHostCapacity": NO_CAPACITY,
    "InsufficientCapacity": NO_CAPACITY,
    "UnfulfillableCapacity": NO_CAPACITY,
    "ReservationCapacityExceeded": NO_CAPACITY,
    "SpotMaxPriceTooLow": PRICE_TOO_LOW,
    "Unsupported": NOT_SOLD_HERE,
    "UnsupportedOperation": NOT_SOLD_HERE,
    "VcpuLimitExceeded": QUOTA,
    "InstanceLimitExceeded": QUOTA,
    "MaxSpotInstanceCountExceeded": SPOT_QUOTA,
    "MaxSpotFleetRequestCountExceeded": SPOT_QUOTA,
    "VolumeLimitExceeded": DISK_QUOTA,
    "VPCIdNotSpecified": NO_NETWORK,
    "DefaultVpcDoesNotExist": NO_NETWORK,
    "MissingInput": NO_NETWORK,
    "UnauthorizedOperation": NO_RIGHTS,
    "AccessDenied": NO_RIGHTS,
    "AccessDeniedException": NO_RIGHTS,
    "AuthFailure": BAD_CREDENTIALS,
    "InvalidClientTokenId": BAD_CREDENTIALS,
    "UnrecognizedClientException": BAD_CREDENTIALS,
    "SignatureDoesNotMatch": BAD_CREDENTIALS,
    "ExpiredToken": BAD_CREDENTIALS,
    "ExpiredTokenException": BAD_CREDENTIALS,
    "RequestExpired": BAD_CREDENTIALS,
    "OptInRequired": ACCOUNT,
    "PendingVerification": ACCOUNT,
    "Blocked": ACCOUNT,
    "RequestLimitExceeded": TOO_FAST,
    "Throttling": TOO_FAST,
    "ThrottlingException": TOO_FAST,
    "RequestThrottled": TOO_FAST,
    "InternalError": UNWELL,
    "InternalFailure": UNWELL,
    "ServiceUnavailable": UNWELL,
    "Unavailable": UNWELL,
    "IdempotentParameterMismatch": OUR_BUG,
    "InvalidParameter": OUR_BUG,
    "InvalidParameterValue": OUR_BUG,
    "InvalidParameterCombination": OUR_BUG,
    "MissingParameter": OUR_BUG,
    "MalformedQueryString": OUR_BUG,
    "InvalidAMIID.NotFound": OUR_BUG,
    "InvalidAMIID.Malformed": OUR_BUG,
    "InvalidSubnetID.NotFound": OUR_BUG,
    "InvalidGroup.NotFound": OUR_BUG,
    "InvalidUserData.Malformed": OUR_BUG,
}

GCP: Mapping[str, Ruling] = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": NO_CAPACITY,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": NO_CAPACITY,
    "RESOURCE_POOL_EXHAUSTED": NO_CAPACITY,
    "insufficientCapacity": NO_CAPACITY,
    "VM_MIN_COUNT_NOT_REACHED": NO_CAPACITY,
    "RESOURCE_NOT_READY": Ruling(Scope.ZONE, SECONDS, "the zone is not ready for it yet"),
    "resourceNotReady": Ruling(Scope.ZONE, SECONDS, "the zone is not ready for it yet"),
    "UNSUPPORTED_OPERATION": NOT_SOLD_HERE,
    "MACHINE_TYPE_NOT_FOUND": NOT_SOLD_HERE,
    "QUOTA_EXCEEDED": QUOTA,
    "quotaExceeded": QUOTA,
    "limitExceeded": QUOTA,
    "GPUS_ALL_REGIONS": GPU_QUOTA,
    "rateLimitExceeded": TOO_FAST,
    "userRateLimitExceeded": TOO_FAST,
    "RATE_LIMIT_EXCEEDED": TOO_FAST,
    "429": TOO_FAST,
    "backendError": UNWELL,
    "internalError": UNWELL,
    "INTERNAL_ERROR": UNWELL,
    "500": UNWELL,
    "503": UNWELL,
    "authError": BAD_CREDENTIALS,
    "UNAUTHENTICATED": BAD_CREDENTIALS,
    "401": BAD_CREDENTIALS,
    "forbidden": NO_RIGHTS,
    "PERMISSION_DENIED": NO_RIGHTS,
    "PERMISSIONS_ERROR": NO_RIGHTS,
    "403": NO_RIGHTS,
    "accessNotConfigured": Ruling(Scope.CLOUD, MINUTES, "the Compute Engine API is not enabled in this project"),
    "SERVICE_DISABLED": Ruling(Scope.CLOUD, MINUTES, "the Compute Engine API is not enabled in this project"),
    "BILLING_DISABLED": Ruling(Scope.CLOUD, MINUTES, "billing is not enabled in this project"),
    "networkNotFound": Ruling(Scope.CLOUD, MINUTES, "the project has no network called default"),
    "zoneNotFound": NO_SUCH_PLACE,
    "regionNotFound": NO_SUCH_PLACE,
    "projectNotFound": Ruling(Scope.CLOUD, MINUTES, "the project does not exist, or the credentials cannot see it"),
    "invalid": OUR_BUG,
    "badRequest": OUR_BUG,
    "INVALID_USAGE": OUR_BUG,
    "400": OUR_BUG,
}

TABLES = {"aws": AWS, "gcp": GCP}

# "… or choosing us-east-1b, us-east-1c." (EC2); GCE's details name zones as they are.
AWS_HINT = re.compile(r"choosing ((?:[a-z]{2}-[a-z0-9-]+\d[a-z](?:, | or )?)+)")
AWS_ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d[a-z]")
GCP_HINT = re.compile(r"(?:available|capacity) in(?: zones?)?:? ((?:[a-z]+-[a-z]+\d-[a-z](?:, | or | and )?)+)")
GCP_ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")


def classify(cloud: str, code: str, text: str, offers: tuple[Offer, ...]) -> Refusal:
    """What a refusal of `offers` with this code and text means.

    A code that no table has blocks the least, and is told in the cloud's own words. Zones named in the text as having
    capacity are passed on as they stand there (AWS: zone names, which the driver turns into ids).
    """
    ruling = TABLES.get(cloud, {}).get(code, UNKNOWN)
    if cloud == "gcp" and ruling is QUOTA and "GPUS_ALL_REGIONS" in text:
        ruling = GPU_QUOTA
    words = " ".join(text.split()).rstrip(".")[:SAID_AT_MOST]
    return Refusal(
        offers=offers,
        sentence=ruling.plain or (f"{code}: {words}" if words else code),
        code=code,
        scope=ruling.scope,
        lasts=ruling.lasts,
        zones_with_capacity=_hinted(cloud, text),
    )


def _hinted(cloud: str, text: str) -> tuple[str, ...]:
    sentence, zone = (AWS_HINT, AWS_ZONE) if cloud == "aws" else (GCP_HINT, GCP_ZONE)
    found = sentence.search(text)
    return tuple(zone.findall(found[1])) if found else ()
