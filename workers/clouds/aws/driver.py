"""The driver for AWS. Each replica is an EC2 instance with its token in a tag."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from workers.clouds.admitted import admitted
from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws import instance as aws_instance
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import AwsError
from workers.clouds.aws.launch import FleetLaunch
from workers.clouds.aws.templates import Templates
from workers.clouds.cidrs import CIDRS_MEND, CidrsError
from workers.clouds.driver import Refused
from workers.clouds.usability import statuses
from workers.machines import Machine, MachineEnd, MachineRequest, Sighting, Token
from workers.placement import catalog
from workers.placement.offer import CloudStatus, Offer

LIST_ALL_EVERY = timedelta(minutes=10)
"""Interval between two searches for machines in regions that are not in the price table."""

GONE = ("InvalidInstanceID.NotFound", "UnsupportedOperation", "IncorrectInstanceState", "InvalidID")

VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")

logger = logging.getLogger(__name__)


class AwsDriver:
    """Machines of one account. They have no IAM role, so they cannot call AWS."""

    cloud = "aws"

    def __init__(
        self, environ: Mapping[str, str] = os.environ, prices: Callable[[], Iterable[Offer]] = catalog.load
    ) -> None:
        """`prices`: offers that give the regions to list and the prices of the machines found there."""
        self.environ = environ
        self.api = AwsClient(environ)
        self._prices = prices
        self._launch = FleetLaunch(self.api, environ)
        self._templates = Templates(self.api)
        self._addresses: dict[str, str] = {}
        self._instances: dict[Token, tuple[str, str]] = {}
        self._regions_in_use: set[str] = set()
        self._listed_all_at = float("-inf")
        self._lock = threading.Lock()

    def status(self) -> CloudStatus:
        status = statuses(self.environ, drivers=frozenset({self.cloud}))[self.cloud]
        if not status.usable and not (status.reason == "AWS: no credentials found" and _on_ec2()):
            return status
        try:
            admitted(self.environ)
        except CidrsError as error:
            return CloudStatus(cloud=self.cloud, usable=False, reason=f"AWS: {error}", mend=CIDRS_MEND)
        return CloudStatus(cloud=self.cloud, usable=True)

    def offers(self) -> tuple[Offer, ...]:
        return ()  # the price table's

    def create(self, request: MachineRequest, secrets: Mapping[str, str]) -> Machine:
        region = request.offers[0].region
        try:
            instance = self._launch(request, secrets)
        except Refused as refused:
            # A replay after a change of the network has other parameters; the machine may exist.
            if refused.code != "IdempotentParameterMismatch" or not (instance := self._made_for(request)):
                raise
        return self._seen(instance, region, request.offers)

    def find(self, token: Token) -> Machine | None:
        found = self._found(token)
        if found is None:
            return None
        region, instance = found
        if not aws_instance.is_settled(instance):
            instance = self._launch.settled(region, instance["InstanceId"])
        return self._seen(instance, region)

    def owned(self, installation: str) -> Iterable[Sighting]:
        """One list call for each region. Raises DriverError if one fails: its machines would seem to have ended."""
        now = datetime.now(UTC)
        offers = self._offers()
        listed = self.api.everywhere(
            self._regions(offers), lambda region: self._tagged(region, aws_fleet.TAG_INSTALLATION, installation)
        )
        self._templates.reap(installation, listed)
        return [
            replace(sighting, machine=self._remembered(sighting.machine, region))
            for region, instances in listed.items()
            for instance in instances
            if (sighting := aws_instance.sighting(instance, region, offers, self._launch.network.zones, now))
        ]

    def end_of(self, machine: Machine) -> MachineEnd | None:  # noqa: ARG002 - ended ones are listed for an hour
        return None

    def extend(self, token: Token, expires_at: datetime) -> None:
        for region, id_ in self._ids(token):
            tags = [{"Key": aws_fleet.TAG_EXPIRY, "Value": aws_fleet.expiry(expires_at)}]
            self._unless_gone(region, "create_tags", Resources=[id_], Tags=tags)

    def terminate(self, token: Token) -> None:
        for region, id_ in self._ids(token):
            self._unless_gone(region, "terminate_instances", InstanceIds=[id_])

    def log(self, token: Token, lines: int) -> str:
        for region, id_ in self._ids(token):
            # The newest lines are available only while the machine runs; afterwards, those that EC2 stored.
            for how in ({"Latest": True}, {}):
                answer = self._unless_gone(region, "get_console_output", InstanceId=id_, **how)
                if output := str(answer.get("Output") or ""):
                    return "\n".join(output.splitlines()[-lines:])
        return ""

    def _unless_gone(self, region: str, action: str, **fields: Any) -> Any:
        """Make a call about an instance; empty if it no longer exists. Raises AwsError, DriverError."""
        try:
            return self.api.call("ec2", region, action, **fields)
        except AwsError as error:
            if error.code in GONE:
                return {}
            raise

    def _made_for(self, request: MachineRequest) -> Any | None:
        found = self._found(request.token)
        wanted = aws_fleet.fingerprint(request)
        return found[1] if found and aws_instance.tag(found[1], aws_fleet.TAG_REQUEST) == wanted else None

    def _ids(self, token: Token) -> list[tuple[str, str]]:
        """Region and id of the token's instance; empty if there is none."""
        if known := self._instances.get(token):
            return [known]
        found = self._found(token)
        return [(found[0], found[1]["InstanceId"])] if found else []

    def _found(self, token: Token) -> tuple[str, Any] | None:
        """Region and description of the token's instance, preferably one that has not ended. Raises DriverError."""
        known = self._instances.get(token)
        regions = [known[0]] if known else self._enabled()
        value = token[: aws_fleet.MAX_TAG]
        listed = self.api.everywhere(regions, lambda region: self._tagged(region, aws_fleet.TAG_TOKEN, value))
        found = [(region, instance) for region, instances in listed.items() for instance in instances]
        return min(found, key=lambda one: aws_instance.state(one[1]) in aws_instance.ENDED, default=None)

    def _tagged(self, region: str, tag: str, value: str) -> list[Any]:
        filters = [{"Name": f"tag:{tag}", "Values": [value]}]
        reservations = self.api.pages(region, "describe_instances", "Reservations", Filters=filters)
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    def _regions(self, offers: Iterable[Offer]) -> frozenset[str]:
        """Regions to list: those that may have machines, and periodically all that are enabled."""
        enabled = self._enabled()
        if time.monotonic() - self._listed_all_at >= LIST_ALL_EVERY.total_seconds():
            self._listed_all_at = time.monotonic()
            return enabled
        priced = {offer.region for offer in offers}
        return enabled & (priced | self._regions_in_use)

    def _enabled(self) -> frozenset[str]:
        return self.api.regions()

    def _offers(self) -> list[Offer]:
        return [offer for offer in self._prices() if offer.cloud == self.cloud and offer.region]

    def _seen(self, instance: Any, region: str, offers: Iterable[Offer] | None = None) -> Machine:
        offers = self._offers() if offers is None else offers
        return self._remembered(aws_instance.machine(instance, region, offers, self._launch.network.zones), region)

    def _remembered(self, machine: Machine, region: str) -> Machine:
        """The machine with its last known address: EC2 removes the address when the machine ends."""
        with self._lock:
            self._instances[machine.token] = (region, machine.id)
            self._regions_in_use.add(region)
            if machine.address:
                self._addresses[machine.id] = machine.address
            return replace(machine, address=self._addresses.get(machine.id))


def _on_ec2() -> bool:
    """Whether this host is an EC2 instance, so that boto can use its role. Reads the firmware, not the network."""
    try:
        return "Amazon EC2" in VENDOR.read_text()
    except OSError:
        return False
