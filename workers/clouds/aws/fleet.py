"""PURE: converts a request to a launch template and an instant fleet, and parses the fleet's answer."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from workers.clouds.aws.errors import refusal
from workers.machines import DISK_GIB, MachineRequest, Token
from workers.placement.offer import Offer
from workers.placement.refusal_codes import AWS, NOT_SOLD_HERE, NOT_VISIBLE
from workers.placement.refusals import Refusal, Scope

IMAGE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
"""SSM parameter with the id of AWS's deep learning image: Ubuntu 22.04, NVIDIA driver and toolkit, Docker."""
ROOT_DEVICE = "/dev/sda1"

# IOPS and MiB/s of a gp3 volume by the recipe's disk tier, equal to SkyPilot's for the tiers that it has on gp3.
TIERS = {"low": (3000, 125), "medium": (3500, 218), "high": (7000, 438), "ultra": (16000, 1000), "best": (16000, 1000)}
USUAL_TIER = "medium"

MAX_TOKEN = 64
MAX_TAG = 256

TAG_INSTALLATION = "mixtral-installation"
TAG_DEPLOYMENT = "mixtral-deployment"
TAG_REPLICA = "mixtral-replica"
TAG_ATTEMPT = "mixtral-attempt"
TAG_TOKEN = "mixtral-token"  # noqa: S105 - a tag's name
TAG_EXPIRY = "mixtral-expiry"
TAG_PORT = "mixtral-port"
TAG_REQUEST = "mixtral-request"


def client_token(token: Token, repeat: int = 0) -> str:
    """The token, or its digest if EC2 does not accept it: at most 64 ASCII characters. Differs for each `repeat`."""
    named = f"{token}.{repeat}" if repeat else token
    return named if named.isascii() and len(named) <= MAX_TOKEN else _digest(named.encode())


def template_name(token: Token) -> str:
    return f"mixtral-{client_token(token)}"


def fingerprint(request: MachineRequest) -> str:
    """A digest of the request, to detect another request with the same token."""
    return _digest(msgspec.json.encode(request))


def expiry(at: datetime) -> str:
    """The value of the expiry tag: ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tags(request: MachineRequest) -> list[dict[str, str]]:
    """Tags of all resources that a launch makes. They contain no secret."""
    values = {
        TAG_INSTALLATION: request.installation,
        TAG_DEPLOYMENT: request.deployment,
        TAG_REPLICA: str(request.replica),
        TAG_ATTEMPT: str(request.attempt),
        TAG_TOKEN: request.token,
        TAG_EXPIRY: expiry(request.expires_at),
        TAG_PORT: str(request.boot.port),
        TAG_REQUEST: fingerprint(request),
        "Name": f"mixtral {request.deployment} {request.replica}",
    }
    return [{"Key": key, "Value": value[:MAX_TAG]} for key, value in values.items()]


def own_image(request: MachineRequest) -> str | None:
    """The recipe's own machine image, or None. The bootstrap script uses container images."""
    image = request.boot.image or ""
    return image if image.startswith("ami-") else None


class Ami(Struct, frozen=True, kw_only=True):
    """A machine image of one region."""

    id: str
    root_device: str = ROOT_DEVICE
    gib: int = 0
    """Size of its root volume; a machine's disk is at least as large."""


def image_of(id_: str, answer: Mapping[str, Any]) -> Ami:
    """The image in DescribeImages' answer."""
    found: Mapping[str, Any] = next(iter(answer["Images"]), {})
    root = found.get("RootDeviceName") or ROOT_DEVICE
    sizes = [
        disk.get("Ebs", {}).get("VolumeSize", 0)
        for disk in found.get("BlockDeviceMappings") or ()
        if disk.get("DeviceName") == root
    ]
    return Ami(id=id_, root_device=root, gib=max(sizes, default=0))


def template(request: MachineRequest, *, image: Ami, group: str, user_data: str) -> dict[str, Any]:
    """LaunchTemplateData of the request, the same in all zones. Its user data contains the secrets."""
    boot = request.boot
    iops, throughput = TIERS.get(boot.disk_tier or USUAL_TIER, TIERS[USUAL_TIER])
    disk = {
        "VolumeSize": max(boot.disk_gib or DISK_GIB, image.gib),
        "VolumeType": "gp3",
        "Iops": iops,
        "Throughput": throughput,
        "DeleteOnTermination": True,
    }
    return {
        "ImageId": image.id,
        "UserData": base64.b64encode(user_data.encode()).decode(),
        # Asked for, because a subnet may not give public addresses by itself. The group then belongs to the interface.
        "NetworkInterfaces": [
            {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [group], "DeleteOnTermination": True}
        ],
        "InstanceInitiatedShutdownBehavior": "terminate",
        "BlockDeviceMappings": [{"DeviceName": image.root_device, "Ebs": disk}],
        # The deadman reads its expiry there; the hop limit keeps containers out.
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags(request)} for kind in ("instance", "volume")],
    }


def fleet(request: MachineRequest, offers: Sequence[Offer], subnets: Mapping[str, str]) -> dict[str, Any]:
    """CreateFleet's parameters: one machine from any of `offers`. `subnets`: ids by zone id."""
    spot = offers[0].spot
    strategy = {"AllocationStrategy": "price-capacity-optimized" if spot else "lowest-price"}
    named = {"LaunchTemplateName": template_name(request.token), "Version": "$Default"}
    overrides = [{"InstanceType": offer.instance_type, "SubnetId": subnets[offer.zone]} for offer in offers]
    return {
        "ClientToken": client_token(request.token),
        "Type": "instant",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": named, "Overrides": overrides}],
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot" if spot else "on-demand",
        },
        ("SpotOptions" if spot else "OnDemandOptions"): strategy,
    }


def launched(answer: Mapping[str, Any]) -> str | None:
    """Id of the instance in a fleet's answer, or None."""
    ids = [id_ for made in answer.get("Instances") or () for id_ in made.get("InstanceIds") or ()]
    return ids[0] if ids else None


def is_empty(answer: Mapping[str, Any]) -> bool:
    """Whether a fleet's answer has neither a machine nor an error."""
    return launched(answer) is None and not answer.get("Errors")


def not_visible(answer: Mapping[str, Any]) -> bool:
    """Whether the fleet made no machine because it does not find the group or the template yet."""
    codes = [AWS.get(error.get("ErrorCode", "")) for error in answer.get("Errors") or ()]
    return launched(answer) is None and NOT_VISIBLE in codes


def refusals(
    answer: Mapping[str, Any], offers: tuple[Offer, ...], subnets: Mapping[str, str], zones: Mapping[str, str]
) -> tuple[Refusal, ...]:
    """The refusals in a fleet's answer without a machine, one for each different error; never empty.

    `subnets`: ids by zone id; `zones`: zone ids by name.
    """
    region = offers[0].region
    errors: dict[tuple[str, str], list[Offer]] = {}
    for error in answer.get("Errors") or ():
        about = errors.setdefault((error.get("ErrorCode", "Unknown"), error.get("ErrorMessage", "")), [])
        overrides = (error.get("LaunchTemplateAndOverrides") or {}).get("Overrides") or {}
        about += [offer for offer in offers if _is_of(overrides, offer, subnets, zones) and offer not in about]
    if not errors:
        text = "the answer contained neither a machine nor a reason"
        errors["UnfulfillableCapacity", text] = list(offers)
    return tuple(
        _with_zone_ids(refusal(region, code, text, tuple(about) or offers), zones)
        for (code, text), about in errors.items()
    )


def no_subnet(offers: tuple[Offer, ...]) -> Refusal:
    """The refusal for zones without a default subnet, such as local zones that are not enabled."""
    names = " and ".join(sorted({offer.zone for offer in offers}))
    mend = "If the account has this zone, run `aws ec2 create-default-subnet`"
    return Refusal(
        offers=offers,
        sentence=f"the default network has no subnet in {names}. {mend}",
        code="NoDefaultSubnet",
        scope=Scope.ZONE,
        lasts=NOT_SOLD_HERE.lasts,
    )


def _is_of(overrides: Mapping[str, Any], offer: Offer, subnets: Mapping[str, str], zones: Mapping[str, str]) -> bool:
    """Whether an error's overrides match the offer. Missing fields match every offer."""
    expected = {
        "InstanceType": offer.instance_type,
        "SubnetId": subnets.get(offer.zone),
        "AvailabilityZone": next((name for name, zone in zones.items() if zone == offer.zone), None),
        "AvailabilityZoneId": offer.zone,
    }
    return all(overrides.get(key) in (None, "", value) for key, value in expected.items() if value is not None)


def _with_zone_ids(found: Refusal, zones: Mapping[str, str]) -> Refusal:
    ids = tuple(zones[name] for name in found.zones_with_capacity if name in zones)
    return msgspec.structs.replace(found, zones_with_capacity=ids)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:40]
