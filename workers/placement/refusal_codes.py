"""PURE: tables of the clouds' error codes: what each rules out, and for how long."""

import re
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct

from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, Scope

FIVE_MINUTES = timedelta(minutes=5)  # capacity changes often
HOUR = timedelta(hours=1)  # a quota changes only on request
DAY = timedelta(days=1)  # a zone rarely gets a new machine type
FIVE_SECONDS = timedelta(seconds=5)

TEXT_LIMIT = 300
"""Maximum number of characters of a cloud's error text in a sentence."""


class Ruling(Struct, frozen=True):
    """The meaning of one error code."""

    scope: Scope
    lasts: timedelta
    plain: str
    """Cause, for people; empty: the code and the cloud's error text are used."""


NO_CAPACITY = Ruling(Scope.ZONE, FIVE_MINUTES, "no capacity right now")
NOT_SOLD_HERE = Ruling(Scope.ZONE, DAY, "this zone does not offer this machine type")
NO_SUCH_PLACE = Ruling(Scope.ZONE, DAY, "")  # the cloud's error text names the place
PRICE_TOO_LOW = Ruling(Scope.ZONE, FIVE_MINUTES, "the spot price is above the maximum price of the request")
QUOTA = Ruling(Scope.REGION, HOUR, "the quota for these machines in this region is used up or too small")
SPOT_QUOTA = Ruling(Scope.REGION, HOUR, "the spot quota in this region is used up or too small")
DISK_QUOTA = Ruling(Scope.REGION, HOUR, "the disk quota in this region is used up")
NO_NETWORK = Ruling(Scope.REGION, HOUR, "this region has no default network for the machine")
GPU_QUOTA = Ruling(Scope.GPU, HOUR, "the project's quota for GPUs in all regions is used up or too small")
NO_PERMISSION = Ruling(Scope.CLOUD, FIVE_MINUTES, "the credentials lack a required permission")
BAD_CREDENTIALS = Ruling(Scope.CLOUD, FIVE_MINUTES, "the credentials are wrong or have expired")
ACCOUNT = Ruling(Scope.CLOUD, HOUR, "the account is not activated, not verified, or blocked")
RATE_LIMITED = Ruling(Scope.BACK_OFF, FIVE_SECONDS, "the cloud limits the rate of requests")
CLOUD_ERROR = Ruling(Scope.BACK_OFF, FIVE_SECONDS, "the cloud reported an internal error")
BAD_REQUEST = Ruling(Scope.BUG, HOUR, "")

# The smallest effect: this machine type in this zone, for a few seconds, with the cloud's error text.
UNKNOWN = Ruling(Scope.ZONE, FIVE_SECONDS, "")

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
    "UnauthorizedOperation": NO_PERMISSION,
    "AccessDenied": NO_PERMISSION,
    "AccessDeniedException": NO_PERMISSION,
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
    "RequestLimitExceeded": RATE_LIMITED,
    "Throttling": RATE_LIMITED,
    "ThrottlingException": RATE_LIMITED,
    "RequestThrottled": RATE_LIMITED,
    "InternalError": CLOUD_ERROR,
    "InternalFailure": CLOUD_ERROR,
    "ServiceUnavailable": CLOUD_ERROR,
    "Unavailable": CLOUD_ERROR,
    "IdempotentParameterMismatch": BAD_REQUEST,
    "InvalidParameter": BAD_REQUEST,
    "InvalidParameterValue": BAD_REQUEST,
    "InvalidParameterCombination": BAD_REQUEST,
    "MissingParameter": BAD_REQUEST,
    "MalformedQueryString": BAD_REQUEST,
    "InvalidAMIID.NotFound": BAD_REQUEST,
    "InvalidAMIID.Malformed": BAD_REQUEST,
    "InvalidSubnetID.NotFound": BAD_REQUEST,
    "InvalidGroup.NotFound": BAD_REQUEST,
    "InvalidUserData.Malformed": BAD_REQUEST,
}

GCP: Mapping[str, Ruling] = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": NO_CAPACITY,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": NO_CAPACITY,
    "RESOURCE_POOL_EXHAUSTED": NO_CAPACITY,
    "insufficientCapacity": NO_CAPACITY,
    "VM_MIN_COUNT_NOT_REACHED": NO_CAPACITY,
    "RESOURCE_NOT_READY": Ruling(Scope.ZONE, FIVE_SECONDS, "the zone is not ready for this machine yet"),
    "resourceNotReady": Ruling(Scope.ZONE, FIVE_SECONDS, "the zone is not ready for this machine yet"),
    "UNSUPPORTED_OPERATION": NOT_SOLD_HERE,
    "MACHINE_TYPE_NOT_FOUND": NOT_SOLD_HERE,
    "QUOTA_EXCEEDED": QUOTA,
    "quotaExceeded": QUOTA,
    "limitExceeded": QUOTA,
    "GPUS_ALL_REGIONS": GPU_QUOTA,
    "rateLimitExceeded": RATE_LIMITED,
    "userRateLimitExceeded": RATE_LIMITED,
    "RATE_LIMIT_EXCEEDED": RATE_LIMITED,
    "429": RATE_LIMITED,
    "backendError": CLOUD_ERROR,
    "internalError": CLOUD_ERROR,
    "INTERNAL_ERROR": CLOUD_ERROR,
    "500": CLOUD_ERROR,
    "503": CLOUD_ERROR,
    "authError": BAD_CREDENTIALS,
    "UNAUTHENTICATED": BAD_CREDENTIALS,
    "401": BAD_CREDENTIALS,
    "forbidden": NO_PERMISSION,
    "PERMISSION_DENIED": NO_PERMISSION,
    "PERMISSIONS_ERROR": NO_PERMISSION,
    "403": NO_PERMISSION,
    "accessNotConfigured": Ruling(Scope.CLOUD, FIVE_MINUTES, "the Compute Engine API is not enabled in this project"),
    "SERVICE_DISABLED": Ruling(Scope.CLOUD, FIVE_MINUTES, "the Compute Engine API is not enabled in this project"),
    "BILLING_DISABLED": Ruling(Scope.CLOUD, FIVE_MINUTES, "billing is not enabled in this project"),
    "networkNotFound": Ruling(Scope.CLOUD, FIVE_MINUTES, "the project has no network called default"),
    "zoneNotFound": NO_SUCH_PLACE,
    "regionNotFound": NO_SUCH_PLACE,
    "projectNotFound": Ruling(
        Scope.CLOUD, FIVE_MINUTES, "the project does not exist, or the credentials cannot see it"
    ),
    "invalid": BAD_REQUEST,
    "badRequest": BAD_REQUEST,
    "INVALID_USAGE": BAD_REQUEST,
    "400": BAD_REQUEST,
}

TABLES = {"aws": AWS, "gcp": GCP}

# "… or choosing us-east-1b, us-east-1c." (EC2). Error details of GCE name zones in full.
AWS_HINT = re.compile(r"choosing ((?:[a-z]{2}-[a-z0-9-]+\d[a-z](?:, | or )?)+)")
AWS_ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d[a-z]")
GCP_HINT = re.compile(r"(?:available|capacity) in(?: zones?)?:? ((?:[a-z]+-[a-z]+\d-[a-z](?:, | or | and )?)+)")
GCP_ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")


def classify(cloud: str, code: str, text: str, offers: tuple[Offer, ...]) -> Refusal:
    """The refusal of `offers` that corresponds to an error with this code and text.

    An unknown code has the smallest effect and keeps the cloud's text. `zones_with_capacity` has the zones that the
    text recommends, as written there (AWS: zone names, which the driver converts to zone ids).
    """
    ruling = TABLES.get(cloud, {}).get(code, UNKNOWN)
    if cloud == "gcp" and ruling is QUOTA and "GPUS_ALL_REGIONS" in text:
        ruling = GPU_QUOTA
    words = " ".join(text.split()).rstrip(".")[:TEXT_LIMIT]
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
