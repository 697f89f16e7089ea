"""PURE: converts EC2's description of an instance to a machine or a sighting."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from workers.clouds.aws import fleet as aws_fleet
from workers.machines import Machine, Presence, Sighting, Token
from workers.placement.offer import Offer

ENDED = ("shutting-down", "terminated")
STOPPED = ("stopping", "stopped")
"""States of a machine that a user stopped: its probes fail, so it is ended. A shutdown terminates it instead."""
NO_CAPACITY = "Server.InsufficientInstanceCapacity"
INTERRUPTED = ("Server.SpotInstanceTermination", "Server.SpotInstanceShutdown")
WHY = {
    "Server.SpotInstanceTermination": "preempted by AWS",
    "Server.SpotInstanceShutdown": "preempted by AWS",
    NO_CAPACITY: "AWS had no capacity left when it started the machine",
    "Server.InternalError": "AWS reported an internal error while it started the machine",
    "Server.ScheduledStop": "AWS took the machine's host out of service",
    "Client.UserInitiatedShutdown": "ended on request",
    "Client.InstanceInitiatedShutdown": "shut down from inside",
    "Client.VolumeLimitExceeded": "the account's disk quota is used up",
    "Client.InternalError": "AWS could not start the machine's disk",
}

_TOLD = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""The time in a StateTransitionReason. That of an interruption of spot has none."""

ZoneIds = Callable[[str], Mapping[str, str]]
"""Returns the zone ids of a region, by zone name."""


def tag(instance: Mapping[str, Any], name: str) -> str:
    """The tag's value; empty if it is missing."""
    return next((str(one["Value"]) for one in instance.get("Tags") or () if one["Key"] == name), "")


def is_settled(instance: Mapping[str, Any]) -> bool:
    """Whether its address is known, or it will not get one."""
    if state(instance) == "pending":
        return bool(instance.get("PublicIpAddress"))
    return True


def never_started(instance: Mapping[str, Any]) -> bool:
    """Whether AWS made the instance and then ended it for lack of capacity."""
    return state(instance) in ENDED and _reason(instance) == NO_CAPACITY


def state(instance: Mapping[str, Any]) -> str:
    return str(instance["State"]["Name"])


def address(instance: Mapping[str, Any]) -> str | None:
    """`http://host:port` with the public address, or the private one if there will be no other; None if unknown."""
    private = instance.get("PrivateIpAddress") if is_settled(instance) else None
    host = instance.get("PublicIpAddress") or private
    port = tag(instance, aws_fleet.TAG_PORT)
    return f"http://{host}:{port}" if host and port and state(instance) not in ENDED else None


def machine(instance: Mapping[str, Any], region: str, offers: Iterable[Offer], zones: ZoneIds) -> Machine:
    """The instance as a machine. `offers`: candidates for its offer."""
    return Machine(
        token=Token(tag(instance, aws_fleet.TAG_TOKEN)),
        id=instance["InstanceId"],
        cloud="aws",
        offer=_offer(instance, region, offers, zones),
        address=address(instance),
        created_at=instance["LaunchTime"].astimezone(UTC),
    )


def sighting(
    instance: Mapping[str, Any], region: str, offers: Iterable[Offer], zones: ZoneIds, now: datetime
) -> Sighting:
    reason = _reason(instance)
    return Sighting(
        machine=machine(instance, region, offers, zones),
        presence=_presence(instance, reason),
        installation=tag(instance, aws_fleet.TAG_INSTALLATION),
        deployment=tag(instance, aws_fleet.TAG_DEPLOYMENT),
        replica=_number(tag(instance, aws_fleet.TAG_REPLICA)),
        attempt=_number(tag(instance, aws_fleet.TAG_ATTEMPT)),
        why=_why(instance, reason, now) if state(instance) in ENDED else "",
        progress=_progress(instance),
        ended_at=_ended_at(instance),
    )


def _reason(instance: Mapping[str, Any]) -> str:
    return str((instance.get("StateReason") or {}).get("Code", ""))


def _progress(instance: Mapping[str, Any]) -> str:
    if state(instance) in STOPPED:
        return "a user stopped the machine"
    return "AWS is starting the machine" if state(instance) == "pending" else ""


def _presence(instance: Mapping[str, Any], reason: str) -> Presence:
    if state(instance) not in ENDED:
        return Presence.RUNNING
    return Presence.PREEMPTED if reason in INTERRUPTED else Presence.ENDED


def _why(instance: Mapping[str, Any], reason: str, now: datetime) -> str:
    if reason == "Client.InstanceInitiatedShutdown" and _expired(instance, now):
        return "expired"
    text = (instance.get("StateReason") or {}).get("Message", "") or instance.get("StateTransitionReason", "")
    return WHY.get(reason) or text or "ended"


def _ended_at(instance: Mapping[str, Any]) -> datetime | None:
    """When it ended, by EC2, in whole seconds; None while it runs, or if EC2 does not tell it."""
    told = _TOLD.search(instance.get("StateTransitionReason") or "") if state(instance) in ENDED else None
    return datetime.fromisoformat(told[1]).replace(tzinfo=UTC) if told else None


def _expired(instance: Mapping[str, Any], now: datetime) -> bool:
    try:
        return msgspec.convert(tag(instance, aws_fleet.TAG_EXPIRY), datetime) <= now
    except msgspec.ValidationError:
        return False


def _offer(instance: Mapping[str, Any], region: str, offers: Iterable[Offer], zones: ZoneIds) -> Offer:
    placement = instance["Placement"]
    name = placement.get("AvailabilityZone", "")
    zone = placement.get("AvailabilityZoneId") or zones(region).get(name, name)
    spot = instance.get("InstanceLifecycle") == "spot"
    type_ = instance["InstanceType"]
    for offer in offers:
        if (offer.cloud, offer.region, offer.zone, offer.instance_type, offer.spot) == (
            "aws",
            region,
            zone,
            type_,
            spot,
        ):
            return offer
    return Offer(
        cloud="aws",
        region=region,
        zone=zone,
        instance_type=type_,
        accelerator=None,
        count=0,
        spot=spot,
        usd_per_hour=None,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
