"""PURE: tables of the clouds' error codes: what each rules out, and for how long."""

import re
from collections.abc import Mapping
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

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


NO_ADDRESS = Ruling(Scope.ZONE, FIVE_MINUTES, "the subnet of this zone has no free address")
NO_CAPACITY = Ruling(Scope.ZONE, FIVE_MINUTES, "no capacity right now")
NOT_SOLD_HERE = Ruling(Scope.ZONE, DAY, "this zone does not offer this machine type")
NO_SUCH_PLACE = Ruling(Scope.ZONE, DAY, "")  # the cloud's error text names the place
PRICE_TOO_LOW = Ruling(Scope.ZONE, FIVE_MINUTES, "the spot price is above the maximum price of the request")
QUOTA = Ruling(Scope.REGION, HOUR, "the quota for these machines in this region is used up or too small")
SPOT_QUOTA = Ruling(Scope.REGION, HOUR, "the spot quota in this region is used up or too small")
DISK_QUOTA = Ruling(Scope.REGION, HOUR, "the disk quota in this region is used up")
NO_NETWORK = Ruling(Scope.REGION, HOUR, "this region has no default network for the machine")
GPU_QUOTA = Ruling(Scope.GPU, HOUR, "the project's quota for GPUs in all regions is used up or too small")
SHARED_QUOTA = Ruling(Scope.CLOUD, HOUR, "a quota of the project for all regions is used up or too small")
NO_PERMISSION = Ruling(Scope.CLOUD, FIVE_MINUTES, "the credentials lack a required permission")
NO_PERMISSION_HERE = Ruling(Scope.REGION, FIVE_MINUTES, NO_PERMISSION.plain)
POLICY_HERE = Ruling(Scope.REGION, HOUR, "a policy of the organisation forbids machines in this region")
POLICY = Ruling(Scope.CLOUD, HOUR, "")  # the cloud's error text names the policy
BAD_CREDENTIALS = Ruling(Scope.CLOUD, FIVE_MINUTES, "the credentials are wrong or have expired")
ACCOUNT = Ruling(Scope.CLOUD, HOUR, "the account is not activated, not verified, or blocked")
NO_BILLING = Ruling(Scope.CLOUD, FIVE_MINUTES, "billing is not enabled in this project")
NO_API = Ruling(Scope.CLOUD, FIVE_MINUTES, "the Compute Engine API is not enabled in this project")
NO_SPOT_ROLE = Ruling(Scope.GPU, FIVE_MINUTES, "the account has no service-linked role for spot machines")
NO_IMAGE = Ruling(Scope.CLOUD, HOUR, "the machine image does not exist, or these credentials cannot see it")
NO_IMAGE_HERE = Ruling(Scope.REGION, HOUR, "the machine image does not exist in this region")
DISK_TOO_SMALL = Ruling(Scope.CLOUD, HOUR, "the disk is smaller than the machine image")
NO_SUBNET = Ruling(Scope.BACK_OFF, FIVE_SECONDS, "a subnet of the default network no longer exists")
NOT_VISIBLE = Ruling(Scope.BACK_OFF, FIVE_SECONDS, "AWS does not find a resource that was created seconds ago")
RATE_LIMITED = Ruling(Scope.BACK_OFF, FIVE_SECONDS, "the cloud limits the rate of requests")
CLOUD_ERROR = Ruling(Scope.BACK_OFF, FIVE_SECONDS, "the cloud reported an internal error")
BAD_REQUEST = Ruling(Scope.BUG, HOUR, "")

# The smallest effect: this machine type in this zone, for a few seconds, with the cloud's error text.
UNKNOWN = Ruling(Scope.ZONE, FIVE_SECONDS, "")


def _by_code(*rulings: tuple[Ruling, str]) -> Mapping[str, Ruling]:
    """Rulings by code, from pairs of a ruling and its codes, separated by spaces."""
    return {code: ruling for ruling, codes in rulings for code in codes.split()}


AWS: Mapping[str, Ruling] = _by_code(
    (
        NO_CAPACITY,
        (
            "InsufficientInstanceCapacity InsufficientHostCapacity InsufficientCapacity "
            "InsufficientReservedInstanceCapacity InsufficientVolumeCapacity UnfulfillableCapacity "
            "ReservationCapacityExceeded"
        ),
    ),
    (NO_ADDRESS, "InsufficientFreeAddressesInSubnet InsufficientAddressCapacity"),
    (PRICE_TOO_LOW, "SpotMaxPriceTooLow"),
    (NOT_SOLD_HERE, "Unsupported UnsupportedOperation InvalidFleetConfiguration InvalidInstanceType"),
    (Ruling(Scope.ZONE, DAY, "this zone does not offer the disk"), "VolumeTypeNotAvailableInZone"),
    (NO_SUCH_PLACE, "InvalidZone.NotFound"),
    (QUOTA, "VcpuLimitExceeded InstanceLimitExceeded"),
    (SPOT_QUOTA, "MaxSpotInstanceCountExceeded MaxSpotFleetRequestCountExceeded"),
    (Ruling(Scope.REGION, FIVE_MINUTES, "the quota for fleets in this region is used up"), "MaxFleetCountExceeded"),
    (DISK_QUOTA, "VolumeLimitExceeded MaxIOPSLimitExceeded"),
    (
        Ruling(Scope.REGION, HOUR, "the quota for launch templates in this region is used up"),
        "MaxTemplateLimitExceeded",
    ),
    (
        Ruling(Scope.REGION, HOUR, "the quota for security groups in this region is used up"),
        "SecurityGroupLimitExceeded",
    ),
    (NO_NETWORK, "VPCIdNotSpecified VPCResourceNotSpecified DefaultVpcDoesNotExist MissingInput"),
    (NO_PERMISSION_HERE, "UnauthorizedOperation AccessDenied AccessDeniedException"),
    (POLICY_HERE, "UnauthorizedOperation.Policy"),
    (POLICY, "TagPolicyViolation"),
    (NO_SPOT_ROLE, "AuthFailure.ServiceLinkedRoleCreationNotPermitted"),
    (
        BAD_CREDENTIALS,
        (
            "AuthFailure InvalidClientTokenId UnrecognizedClientException SignatureDoesNotMatch "
            "InvalidSignatureException IncompleteSignature MissingAuthenticationToken ExpiredToken "
            "ExpiredTokenException RequestExpired"
        ),
    ),
    (ACCOUNT, "OptInRequired PendingVerification Blocked AccountDisabled"),
    (Ruling(Scope.CLOUD, HOUR, "the account is not subscribed to the machine image"), "OptInRequired.Marketplace"),
    (
        Ruling(Scope.CLOUD, HOUR, "the account's free plan excludes this machine"),
        "InvalidParameterCombination.FreeTier",
    ),
    (Ruling(Scope.REGION, HOUR, "AWS is validating the account for this region"), "PendingVerification.Region"),
    (RATE_LIMITED, "RequestLimitExceeded Throttling ThrottlingException RequestThrottled ConcurrentTagAccess"),
    (CLOUD_ERROR, "InternalError InternalFailure ServiceUnavailable Unavailable InternalServerError ServerInternal"),
    (
        NOT_VISIBLE,
        (
            "InvalidGroup.NotFound InvalidSecurityGroupID.NotFound InvalidLaunchTemplateName.NotFoundException "
            "InvalidLaunchTemplateId.NotFound InvalidLaunchTemplateId.NotFoundException "
            "InvalidLaunchTemplateId.VersionNotFound"
        ),
    ),
    (NO_SUBNET, "InvalidSubnetID.NotFound InvalidSubnet.NotFound"),
    (NO_IMAGE_HERE, "ParameterNotFound InvalidAMIID.NotFound InvalidAMIID.Unavailable"),
    (Ruling(Scope.CLOUD, HOUR, "the recipe's image_id is malformed"), "InvalidAMIID.Malformed"),
    (DISK_TOO_SMALL, "InvalidBlockDeviceMapping.TooSmall"),
    (
        BAD_REQUEST,
        (
            "InvalidBlockDeviceMapping IdempotentParameterMismatch IdempotentInstanceTerminated UnknownVolumeType "
            "InvalidParameter InvalidParameterValue InvalidParameterCombination MissingParameter "
            "MalformedQueryString InvalidInput UnknownParameter ValidationError InvalidAction "
            "InvalidUserData.Malformed"
        ),
    ),
)

GCP: Mapping[str, Ruling] = _by_code(
    (
        NO_CAPACITY,
        (
            "ZONE_RESOURCE_POOL_EXHAUSTED ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS RESOURCE_POOL_EXHAUSTED "
            "RESOURCE_POOL_EXHAUSTED_WITH_DETAILS insufficientCapacity VM_MIN_COUNT_NOT_REACHED"
        ),
    ),
    (
        Ruling(Scope.ZONE, FIVE_SECONDS, "the zone is not ready for this machine yet"),
        "RESOURCE_NOT_READY resourceNotReady",
    ),
    (NOT_SOLD_HERE, "UNSUPPORTED_OPERATION MACHINE_TYPE_NOT_FOUND"),
    (QUOTA, "QUOTA_EXCEEDED quotaExceeded limitExceeded"),
    (GPU_QUOTA, "GPUS_ALL_REGIONS"),
    (SHARED_QUOTA, "dailyLimitExceeded"),
    (
        Ruling(Scope.REGION, FIVE_MINUTES, "the subnet of this region has no free address"),
        "IP_SPACE_EXHAUSTED IP_SPACE_EXHAUSTED_WITH_DETAILS",
    ),
    (RATE_LIMITED, "rateLimitExceeded userRateLimitExceeded RATE_LIMIT_EXCEEDED RESOURCE_OPERATION_RATE_EXCEEDED 429"),
    (CLOUD_ERROR, "backendError internalError INTERNAL_ERROR SERVICE_UNAVAILABLE 500 502 503 504"),
    (BAD_CREDENTIALS, "authError UNAUTHENTICATED 401"),
    (
        NO_PERMISSION,
        "forbidden PERMISSION_DENIED PERMISSIONS_ERROR 403 insufficientPermissions SERVICE_ACCOUNT_ACCESS_DENIED",
    ),
    (POLICY, "CONDITION_NOT_MET"),
    (
        Ruling(Scope.CLOUD, HOUR, "a policy of the organisation forbids machines with external addresses"),
        "CONDITION_NOT_MET.ExternalIp",
    ),
    (POLICY_HERE, "CONDITION_NOT_MET.Location"),
    (NO_API, "accessNotConfigured SERVICE_DISABLED"),
    (NO_BILLING, "BILLING_DISABLED"),
    (Ruling(Scope.CLOUD, FIVE_MINUTES, "the project has no network called default"), "networkNotFound"),
    (NO_NETWORK, "subnetworkNotFound"),
    (NO_IMAGE, "imageNotFound"),
    (DISK_TOO_SMALL, "diskTooSmall"),
    (Ruling(Scope.GPU, HOUR, "a machine with this GPU does not take this disk"), "diskIncompatible"),
    (NO_SUCH_PLACE, "zoneNotFound regionNotFound"),
    (
        Ruling(Scope.CLOUD, FIVE_MINUTES, "the project does not exist, or the credentials cannot see it"),
        "projectNotFound",
    ),
    (BAD_REQUEST, "invalid badRequest INVALID_USAGE INVALID_FIELD_VALUE RESOURCE_NOT_FOUND notFound 400 404"),
)

TABLES = {"aws": AWS, "gcp": GCP}

# Codes with several causes, of which only the text contains the kind: cloud, code, text, and the code used instead.
# For GCP's resources that do not exist, the code is always taken from the text.
CODES_BY_TEXT = tuple(
    (cloud, re.compile(code), re.compile(text), instead)
    for cloud, code, text, instead in (
        (
            "aws",
            "UnauthorizedOperation|AccessDenied.*",
            r"explicit deny in a \w+ control policy",
            "UnauthorizedOperation.Policy",
        ),
        ("aws", "PendingVerification", "in this region", "PendingVerification.Region"),
        ("aws", "OptInRequired", "Marketplace", "OptInRequired.Marketplace"),
        ("aws", "InvalidParameterCombination", "not eligible for Free Tier", "InvalidParameterCombination.FreeTier"),
        ("aws", "InvalidBlockDeviceMapping", "is smaller than", "InvalidBlockDeviceMapping.TooSmall"),
        ("aws", "UnfulfillableCapacity", "service-linked role", "AuthFailure.ServiceLinkedRoleCreationNotPermitted"),
        ("gcp", "CONDITION_NOT_MET", r"constraints/gcp\.resourceLocations", "CONDITION_NOT_MET.Location"),
        ("gcp", "CONDITION_NOT_MET", r"constraints/compute\.vmExternalIpAccess", "CONDITION_NOT_MET.ExternalIp"),
        ("gcp", "QUOTA_EXCEEDED", r"limit '[^']+ per (?:minute|day|100 seconds)", "rateLimitExceeded"),
        (
            "gcp",
            "",
            r"[Bb]illing (?:must|to) be enabled|has billing disabled|Billing account .{1,80} not found",
            "BILLING_DISABLED",
        ),
        ("gcp", "", r"are not compatible for creating instance", "diskIncompatible"),
        ("gcp", "", r"cannot be smaller than the image|smaller than the (?:image|snapshot) size", "diskTooSmall"),
        (
            "gcp",
            "",
            r"(?:machine|accelerator)Types/[^/']+' was not found|[Mm]achine type .{1,80} does not exist",
            "MACHINE_TYPE_NOT_FOUND",
        ),
        ("gcp", "", r"/global/images/[^']+' was not found", "imageNotFound"),
        ("gcp", "", r"/subnetworks/[^/']+' was not found", "subnetworkNotFound"),
        ("gcp", "", r"/networks/[^/']+' was not found", "networkNotFound"),
        ("gcp", "", r"/zones/[^/']+' was not found|Unknown zone", "zoneNotFound"),
        ("gcp", "", r"/regions/[^/']+' was not found|Unknown region", "regionNotFound"),
        ("gcp", "", r"'projects/[^/']+' was not found|[Pp]roject .{1,80} not found|Unknown project", "projectNotFound"),
    )
)

# "Quota 'SSD_TOTAL_GB' exceeded.  Limit: 500.0 in region us-central1." Some errors have no limit.
QUOTA_TEXT = re.compile(
    r"Quota '(?P<name>\w+)' exceeded(?:\. +Limit: (?P<limit>[\d.]*\d)(?P<where> in \w+ [\w-]+| globally)?)?"
)

# "… or choosing us-east-1b, us-east-1c." (EC2). Error details of GCE name zones in full.
AWS_HINT = re.compile(r"choosing ((?:[a-z]{2}-[a-z0-9-]+\d[a-z](?:, | or )?)+)")
AWS_ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d[a-z]")
GCP_HINT = re.compile(
    r"(?:(?:available|capacity) in(?: zones?)?:?|your request in the) ((?:[a-z]+-[a-z]+\d-[a-z](?:, | or | and )?)+)"
)
GCP_ZONE = re.compile(r"[a-z]+-[a-z]+\d+-[a-z]")


def classify(cloud: str, code: str, text: str, offers: tuple[Offer, ...]) -> Refusal:
    """The refusal of `offers` that corresponds to an error with this code and text.

    An unknown code has the smallest effect and keeps the cloud's text. `zones_with_capacity` has the zones that the
    text recommends, as written there (AWS: zone names, which the driver converts to zone ids).
    """
    code = code_by_text(cloud, code, text)
    ruling = TABLES.get(cloud, {}).get(code, UNKNOWN)
    if cloud == "gcp" and ruling is QUOTA:
        ruling = _quota(text)
    words = " ".join(text.split()).rstrip(".")[:TEXT_LIMIT]
    return Refusal(
        offers=offers,
        sentence=ruling.plain or (f"{code}: {words}" if words else code),
        code=code,
        scope=ruling.scope,
        lasts=ruling.lasts,
        zones_with_capacity=_hinted(cloud, text),
    )


def code_by_text(cloud: str, code: str, text: str) -> str:
    """The more exact code in CODES_BY_TEXT, or `code`."""
    return next(
        (
            instead
            for of, pattern, words, instead in CODES_BY_TEXT
            if of == cloud and (not pattern.pattern or pattern.fullmatch(code)) and words.search(text)
        ),
        code,
    )


def _quota(text: str) -> Ruling:
    """The meaning of GCE's quota error. A quota of all regions is the same wherever the request is repeated."""
    found = QUOTA_TEXT.search(text)
    if found is None:
        return QUOTA
    name, limit, where = found["name"], found["limit"], found["where"] or ""
    ruling = GPU_QUOTA if name == "GPUS_ALL_REGIONS" else SHARED_QUOTA if name.endswith("_ALL_REGIONS") else QUOTA
    says = f": its limit is {float(limit):g}{where.replace('globally', 'in all regions')}" if limit else ""
    return replace(ruling, plain=f"the quota {name} is used up or too small{says}")


def _hinted(cloud: str, text: str) -> tuple[str, ...]:
    sentence, zone = (AWS_HINT, AWS_ZONE) if cloud == "aws" else (GCP_HINT, GCP_ZONE)
    found = sentence.search(text)
    return tuple(zone.findall(found[1])) if found else ()
