"""PURE: converts a request to a GCE instance, and a GCE instance to a machine or a sighting."""

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from workers.machines import DISK_GIB, Machine, MachineRequest, Presence, Sighting, Token
from workers.placement.offer import Offer

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[-_a-z0-9]{0,63}")

IMAGE = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2204-nvidia-580"
"""Google's deep learning image: Ubuntu 22.04 with the NVIDIA driver. It has no Docker: the machine installs it."""
DISK_TYPES = {"low": "pd-standard", "medium": "pd-balanced"}
BEST_DISK = "pd-ssd"  # A2, A3 and G2 do not support pd-extreme
NO_STANDARD_DISK = ("g2-", "a3-")
ONLY_HYPERDISK = ("a3-ultragpu", "a4", "a4x", "g4")

LONGEST_LIFE = timedelta(days=30)
"""GCE deletes the machine after this time. Cannot be changed on a running machine. GCE allows 120 days."""

ZONE_ONLY = ("a3-", "a4-", "a4x-")
"""Families that `bulkInsert` rejects ("CT machine types are not supported in regional scope")."""

ALIVE = ("PROVISIONING", "STAGING", "RUNNING", "REPAIRING", "PENDING")

EXPIRY = "mixtral-expiry"
INSTALLATION = "mixtral-installation"
REQUEST = "mixtral-request"
TOKEN = "mixtral-token"  # noqa: S105 - a label's name


def name_of(token: Token) -> str:
    """The instance's name: derived from the token alone, and valid for every token."""
    plain = f"mixtral-{token}"
    return plain if NAME.fullmatch(plain) else f"mixtral-x{_digest(token)}"


def label_of(value: str) -> str:
    """The value of a label; a digest if labels cannot have this value."""
    return value if LABEL.fullmatch(value) else f"x{_digest(value)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def labels(request: MachineRequest) -> dict[str, str]:
    return {
        INSTALLATION: label_of(request.installation),
        "mixtral-deployment": label_of(request.deployment),
        "mixtral-replica": str(request.replica),
        "mixtral-attempt": str(request.attempt),
        TOKEN: label_of(request.token),
    }


def expiry(at: datetime) -> str:
    """The value of the expiry in the metadata: Unix time in whole seconds."""
    return str(math.ceil(at.timestamp()))


class GlobalImage(Struct, frozen=True, kw_only=True):
    """A machine image."""

    link: str
    gib: int = 0
    """Its size: the minimum size of a disk."""


class Extras(Struct, frozen=True, kw_only=True):
    """What a machine needs in addition to its request."""

    script: str
    """The user data."""
    tag: str
    """The network tag."""
    image: GlobalImage


def instance(request: MachineRequest, offer: Offer, extras: Extras) -> dict[str, Any]:
    """The body of `instances.insert` for one zone."""
    zone = f"zones/{offer.zone}"
    body = properties(request, offer, extras)
    body["disks"][0]["initialize_params"]["disk_type"] = f"{zone}/diskTypes/{disk_type(request, offer)}"
    return body | {"name": name_of(request.token), "machine_type": f"{zone}/machineTypes/{offer.instance_type}"}


def bulk(request: MachineRequest, extras: Extras) -> dict[str, Any]:
    """The body of `regionInstances.bulkInsert`: one machine in any of the offers' zones."""
    return {
        "count": 1,
        "min_count": 1,
        "per_instance_properties": {name_of(request.token): {}},
        "instance_properties": properties(request, request.offers[0], extras),
        "location_policy": {
            "target_shape": "ANY_SINGLE_ZONE",
            "zones": [{"zone": f"zones/{offer.zone}"} for offer in request.offers],
        },
    }


def properties(request: MachineRequest, offer: Offer, extras: Extras) -> dict[str, Any]:
    """The properties of a machine, the same in all zones."""
    marks = labels(request)
    metadata = {
        "startup-script": extras.script,
        "install-nvidia-driver": "True",
        TOKEN: request.token,
        INSTALLATION: request.installation,
        REQUEST: msgspec.json.encode(request).decode(),
        EXPIRY: expiry(request.expires_at),
    }
    disk = {
        "source_image": extras.image.link,
        "disk_size_gb": max(request.boot.disk_gib or DISK_GIB, extras.image.gib),
        "disk_type": disk_type(request, offer),
        "labels": marks,
    }
    nat = {"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}
    return {
        "machine_type": offer.instance_type,
        "labels": marks,
        "metadata": {"items": [{"key": key, "value": value} for key, value in metadata.items()]},
        "tags": {"items": [extras.tag]},
        "disks": [{"boot": True, "auto_delete": True, "initialize_params": disk}],
        "network_interfaces": [{"network": "global/networks/default", "access_configs": [nat]}],
        "scheduling": {
            "provisioning_model": "SPOT" if offer.spot else "STANDARD",
            "instance_termination_action": "DELETE",
            "max_run_duration": {"seconds": int(LONGEST_LIFE.total_seconds())},
            "on_host_maintenance": "TERMINATE",
            "automatic_restart": False,
        },
    }


def image(request: MachineRequest) -> str:
    """The recipe's own GCE image, or the default one. The bootstrap script uses container images."""
    wanted = request.boot.image or ""
    return wanted if "/" in wanted and not wanted.startswith("docker:") else IMAGE


def disk_type(request: MachineRequest, offer: Offer) -> str:
    if offer.instance_type.startswith(ONLY_HYPERDISK):
        return "hyperdisk-balanced"
    tier = request.boot.disk_tier or "medium"
    if tier == "low" and offer.instance_type.startswith(NO_STANDARD_DISK):
        tier = "medium"
    return DISK_TYPES.get(tier, BEST_DISK)


def metadata_value(found: Any, key: str) -> str:
    """A value of the instance's metadata; empty if it is missing."""
    return next((item.value for item in found.metadata.items if item.key == key), "")


def request_of(found: Any) -> MachineRequest | None:
    """The request that made this instance; None if its metadata is missing or invalid."""
    try:
        return msgspec.json.decode(metadata_value(found, REQUEST), type=MachineRequest)
    except msgspec.DecodeError:
        return None


def expired(found: Any, now: datetime) -> bool:
    """Whether the instance's expiry has passed, so that its deadman has ended it."""
    return 0 < _number(metadata_value(found, EXPIRY)) <= now.timestamp()


def zone_of(found: Any) -> str:
    return str(found.zone).rsplit("/", 1)[-1]


def machine_of(found: Any, request: MachineRequest | None) -> Machine:
    """The instance as a machine. `request`: the one that made it, None if unknown."""
    port = request.boot.port if request else 0
    nat = next((config.nat_i_p for link in found.network_interfaces for config in link.access_configs), "")
    return Machine(
        token=Token(metadata_value(found, TOKEN)),
        id=found.name,
        cloud="gcp",
        offer=_offer(found, request.offers if request else ()),
        address=f"http://{nat}:{port}" if nat and port else None,
        created_at=datetime.fromisoformat(found.creation_timestamp).astimezone(UTC),
    )


def made_and_gone(request: MachineRequest, at: datetime) -> Machine:
    """The machine of a completed request whose instance no longer exists."""
    return Machine(
        token=request.token,
        id=name_of(request.token),
        cloud="gcp",
        offer=request.offers[0],
        address=None,
        created_at=at,
    )


def _offer(found: Any, offers: tuple[Offer, ...]) -> Offer:
    zone, type_ = zone_of(found), str(found.machine_type).rsplit("/", 1)[-1]
    spot = found.scheduling.provisioning_model == "SPOT"
    for offer in offers:
        if (offer.zone, offer.instance_type, offer.spot) == (zone, type_, spot):
            return offer
    place = {"cloud": "gcp", "region": zone.rpartition("-")[0], "zone": zone, "instance_type": type_, "spot": spot}
    if offers:
        return msgspec.structs.replace(offers[0], **place)
    return msgspec.convert(place | {"accelerator": None, "count": 0, "usd_per_hour": None}, Offer)


def sighting_of(found: Any, presence: Presence, why: str = "") -> Sighting:
    request = request_of(found)
    marks: Mapping[str, str] = found.labels
    return Sighting(
        machine=machine_of(found, request),
        presence=presence,
        installation=metadata_value(found, INSTALLATION) or marks.get(INSTALLATION, ""),
        deployment=request.deployment if request else marks.get("mixtral-deployment", ""),
        replica=request.replica if request else _number(marks.get("mixtral-replica", "")),
        attempt=request.attempt if request else _number(marks.get("mixtral-attempt", "")),
        why=why,
        progress="GCP is starting the machine" if found.status in ("PROVISIONING", "STAGING") else "",
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
