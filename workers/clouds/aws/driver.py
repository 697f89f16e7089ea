"""The driver for AWS. Each replica is an EC2 instance with its token in a tag."""

import logging
import os
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from workers.clouds.admitted import admitted
from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws import instance as aws_instance
from workers.clouds.aws.client import AwsClient, RegionError
from workers.clouds.aws.errors import OUTDATED, AwsError
from workers.clouds.aws.launch import FleetLaunch
from workers.clouds.aws.templates import Templates
from workers.clouds.cidrs import CIDRS_MEND, CidrsError
from workers.clouds.driver import Ahead, DriverError, Refused
from workers.clouds.usability import statuses
from workers.machines import (
    ANYWHERE,
    Listing,
    Machine,
    MachineEnd,
    MachineRequest,
    Sighting,
    Token,
    Unlisted,
    Whereabouts,
)
from workers.placement import catalog
from workers.placement.offer import CloudStatus, Offer
from workers.placement.refusals import Refusal

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
        self._addresses: dict[tuple[str, str], str] = {}
        """The last address of each instance, by region and id."""
        self._instances: dict[Token, tuple[str, str]] = {}
        """The region and id of each instance that was seen. If one is lost, it is searched for."""
        self._regions_in_use: set[str] = set()
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

    def expect(self, request: MachineRequest, ahead: Ahead) -> None:
        self._launch.expect(request, ahead)

    def hopeless(self, request: MachineRequest, ladder: Iterable[Offer]) -> tuple[Refusal, ...]:
        return self._launch.hopeless(request, ladder)

    def finish(self) -> None:
        self._launch.finish()

    def find(self, token: Token, known: Whereabouts = ANYWHERE) -> Machine | None:
        found = self._found(token, known)
        if found is None:
            return None
        region, instance = found
        if not aws_instance.is_settled(instance):
            instance = self._launch.settled(region, instance["InstanceId"])
        return self._seen(instance, region)

    def place(self, offer: Offer) -> str:
        return offer.region

    def owned(self, installation: str, place: str = "") -> Listing:
        """One list call for each region. One that fails leaves the others complete."""
        try:
            offers = self._offers()
            regions, unlisted = (frozenset({place}), ()) if place else self._regions(offers)
        except DriverError as error:
            return Listing(unlisted=(Unlisted(place=place, why=str(error)),))
        listed = self.api.everywhere(regions, lambda region: self._listed(installation, region, offers))
        whole = [region for region, listing in listed.items() if not listing.unlisted]
        if not place:
            self._templates.reap(installation, whole)
        return Listing(
            sightings=tuple(sighting for listing in listed.values() for sighting in listing),
            unlisted=(*unlisted, *(one for listing in listed.values() for one in listing.unlisted)),
        )

    def _listed(self, installation: str, region: str, offers: Iterable[Offer]) -> Listing:
        """The machines in a region; if the list breaks off, those that were read before."""
        now = datetime.now(UTC)
        found: list[Sighting] = []
        try:
            for instance in self._tagged(region, aws_fleet.TAG_INSTALLATION, installation):
                sighting = aws_instance.sighting(instance, region, offers, self._launch.network.zones, now)
                found.append(replace(sighting, machine=self._remembered(sighting.machine, region)))
        except DriverError as error:
            return Listing(sightings=tuple(found), unlisted=(Unlisted(place=region, why=str(error)),))
        self._forget_others(region, {sighting.machine.id for sighting in found})
        return Listing(sightings=tuple(found))

    def end_of(self, machine: Machine) -> MachineEnd | None:  # noqa: ARG002 - ended ones are listed for an hour
        return None

    def extend(self, token: Token, expires_at: datetime, known: Whereabouts = ANYWHERE) -> None:
        for region, id_ in self._ids(token, known):
            tags = [{"Key": aws_fleet.TAG_EXPIRY, "Value": aws_fleet.expiry(expires_at)}]
            self._unless_gone(region, "create_tags", Resources=[id_], Tags=tags)

    def terminate(self, token: Token, known: Whereabouts = ANYWHERE) -> None:
        for region, id_ in self._ids(token, known):
            self._unless_gone(region, "terminate_instances", InstanceIds=[id_])

    def log(self, token: Token, lines: int, known: Whereabouts = ANYWHERE) -> str:
        for region, id_ in self._ids(token, known):
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
        found = self._found(request.token, Whereabouts(region=request.offers[0].region))
        wanted = aws_fleet.fingerprint(request)
        return found[1] if found and aws_instance.tag(found[1], aws_fleet.TAG_REQUEST) == wanted else None

    def _ids(self, token: Token, known: Whereabouts) -> list[tuple[str, str]]:
        """Region and id of the token's instance; empty if there is none."""
        if known.region and known.id:
            return [(known.region, known.id)]
        if remembered := self._instances.get(token):
            return [remembered]
        found = self._found(token, known)
        return [(found[0], found[1]["InstanceId"])] if found else []

    def _found(self, token: Token, known: Whereabouts) -> tuple[str, Any] | None:
        """Region and description of the token's instance, preferably one that has not ended. Raises DriverError.

        If its region is unknown, all are searched; one that fails matters only if the others do not have it.
        """
        remembered = self._instances.get(token)
        region = known.region or (remembered[0] if remembered else "")
        regions, unlisted = (frozenset({region}), ()) if region else self._regions(self._offers())
        failed = [DriverError(one.why) for one in unlisted]

        def search(region: str) -> list[Any]:
            try:
                return list(self._tagged(region, aws_fleet.TAG_TOKEN, token[: aws_fleet.MAX_TAG]))
            except DriverError as error:
                failed.append(error)
                return []

        found = [(place, one) for place, instances in self.api.everywhere(regions, search).items() for one in instances]
        if failed and not found:
            raise failed[0]
        return min(found, key=lambda one: aws_instance.state(one[1]) in aws_instance.ENDED, default=None)

    def _tagged(self, region: str, tag: str, value: str) -> Iterator[Any]:
        filters = [{"Name": f"tag:{tag}", "Values": [value]}]
        for reservation in self.api.items(region, "describe_instances", "Reservations", Filters=filters):
            yield from reservation["Instances"]

    def _regions(self, offers: Iterable[Offer]) -> tuple[frozenset[str], tuple[Unlisted, ...]]:
        """All enabled regions. If AWS does not return them: the likely ones, and why others may be missing."""
        try:
            return self.api.regions(), ()
        except DriverError as error:
            if isinstance(error, RegionError) or (isinstance(error, AwsError) and error.code in OUTDATED):
                raise  # all regions would answer the same
            likely = frozenset(offer.region for offer in offers) | frozenset(self._regions_in_use)
            why = f"the enabled regions are unknown: {error}"
            return likely & self.api.all_regions(), (Unlisted(place="", why=why),)

    def _offers(self) -> list[Offer]:
        return [offer for offer in self._prices() if offer.cloud == self.cloud and offer.region]

    def _seen(self, instance: Any, region: str, offers: Iterable[Offer] | None = None) -> Machine:
        offers = self._offers() if offers is None else offers
        return self._remembered(aws_instance.machine(instance, region, offers, self._launch.network.zones), region)

    def _remembered(self, machine: Machine, region: str) -> Machine:
        """The machine with its last known address: EC2 removes the address when the machine ends."""
        with self._lock:
            where = self._instances[machine.token] = (region, machine.id)
            self._regions_in_use.add(region)
            if machine.address:
                self._addresses[where] = machine.address
            return replace(machine, address=self._addresses.get(where))

    def _forget_others(self, region: str, ids: Container[str]) -> None:
        """Forget what a complete list of the region does not contain: EC2 lists ended instances for an hour."""

        def stays(where: tuple[str, str]) -> bool:
            return where[0] != region or where[1] in ids

        with self._lock:
            self._instances = {token: where for token, where in self._instances.items() if stays(where)}
            self._addresses = {where: address for where, address in self._addresses.items() if stays(where)}


def _on_ec2() -> bool:
    """Whether this host is an EC2 instance, so that boto can use its role. Reads the firmware, not the network."""
    try:
        return "Amazon EC2" in VENDOR.read_text()
    except OSError:
        return False
