"""The driver for Google Cloud. Each replica is a Compute Engine instance, named after its token."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from workers.clouds.admitted import admitted
from workers.clouds.cidrs import CIDRS_MEND, CidrsError
from workers.clouds.driver import DriverError, Refused
from workers.clouds.gcp import instance as gcp_instance
from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.ended_machines import EndedMachines
from workers.clouds.gcp.errors import PRECONDITION_FAILED, GcpError, refused_by, translated
from workers.clouds.gcp.image_families import ImageFamilies
from workers.clouds.gcp.launch import Launcher
from workers.clouds.gcp.network import Firewall
from workers.clouds.gcp.quota import GpuQuotas
from workers.clouds.usability import statuses
from workers.machines import (
    ANYWHERE,
    Listing,
    Machine,
    MachineEnd,
    MachineRequest,
    Token,
    Unlisted,
    Whereabouts,
)
from workers.placement.offer import CloudStatus, Offer
from workers.placement.refusals import Scope
from workers.serving.bootstrap import user_data
from workers.serving.errors import ServingError

SETTLES_WITHIN = timedelta(minutes=3)  # maximum wait for an allocation
LOOK_EVERY = timedelta(seconds=0.5)
EXPIRY_TRIES = 3  # a try fails if the metadata is changed at the same time

logger = logging.getLogger(__name__)


class GcpDriver:
    """Machines in one project. They have no service account, so they cannot call Google Cloud."""

    cloud = "gcp"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        project = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("GCLOUD_PROJECT") or ""
        self.api = GcpClient(project, environ.get("MIXTRAL_GCE_ENDPOINT", "").rstrip("/") or None)
        self._firewall = Firewall(self.api)
        self._images = ImageFamilies(self.api)
        self._quotas = GpuQuotas(self.api)
        self._ends = EndedMachines(self.api)
        self._launcher = Launcher(self.api)

    def status(self) -> CloudStatus:
        status = statuses(self.environ, drivers=frozenset({self.cloud}))[self.cloud]
        if not status.usable:
            return status
        try:
            admitted(self.environ)
        except CidrsError as error:
            return CloudStatus(cloud=self.cloud, usable=False, reason=f"GCP: {error}", mend=CIDRS_MEND)
        return status

    def offers(self) -> tuple[Offer, ...]:
        return ()  # all are in the price table

    def create(self, request: MachineRequest, secrets: Mapping[str, str]) -> Machine:
        """Waits until GCE has allocated or refused the machine, which takes seconds, at most five minutes."""
        try:
            sources = self._check(request)
            if short := self._shortage(request):
                if found := self.find(request.token, Whereabouts(region=request.offers[0].region)):
                    return found  # before the quota is checked, since this machine uses part of it
                raise short
            script = _script(request, secrets)
            image = self._images.resolve(gcp_instance.image(request))
            tag = self._firewall.open(request.installation, request.boot.port, sources)
        except GcpError as error:
            raise translated(error, request.offers) from error
        made = self._launcher(request, gcp_instance.Extras(script=script, tag=tag, image=image))
        return self._ends.remember(made.found).machine if made.found else self._ends.gone_already(request, made.at)

    def find(self, token: Token, known: Whereabouts = ANYWHERE) -> Machine | None:
        deadline = time.monotonic() + SETTLES_WITHIN.total_seconds()
        while found := self._named(token, known):
            # GCE may still refuse an instance in PROVISIONING, and then deletes it.
            settled = [one for one in found if one.status != "PROVISIONING"]
            if settled:
                best = min(settled, key=lambda one: one.status not in gcp_instance.ALIVE)
                return self._ends.remember(best).machine
            if time.monotonic() > deadline:
                raise DriverError(
                    f"GCP has been allocating {found[0].name} for {SETTLES_WITHIN}; it will be checked again."
                )
            time.sleep(LOOK_EVERY.total_seconds())
        return self._ends.machine(token)

    def place(self, offer: Offer) -> str:
        return offer.zone

    def owned(self, installation: str, place: str = "") -> Listing:
        """One list call, of a zone or of all."""
        filter_ = f'labels.{gcp_instance.INSTALLATION} = "{gcp_instance.label_of(installation)}"'
        found: list[Any] = []
        unlisted: list[Unlisted] = []
        try:
            for one in self.api.instances_in(place, filter_) if place else self.api.instances(filter_):
                (unlisted if isinstance(one, Unlisted) else found).append(one)
        except DriverError as error:
            unlisted.append(Unlisted(place=place, why=str(error)))
        sightings = self._ends.sightings(installation, found, lambda zone: _is_listed(zone, place, unlisted))
        return Listing(sightings=tuple(sightings), unlisted=tuple(unlisted))

    def end_of(self, machine: Machine) -> MachineEnd | None:
        return self._ends.end_of(machine)

    def extend(self, token: Token, expires_at: datetime, known: Whereabouts = ANYWHERE) -> None:
        for _ in range(EXPIRY_TRIES):
            if all(self._extended(found, gcp_instance.expiry(expires_at)) for found in self._named(token, known)):
                return
        raise DriverError(
            f"The expiry of {gcp_instance.name_of(token)} could not be set: its metadata changed during each try."
        )

    def terminate(self, token: Token, known: Whereabouts = ANYWHERE) -> None:
        for found in self._named(token, known):
            self._ends.remember(found)
            place = {"zone": gcp_instance.zone_of(found), "instance": found.name}
            self.api.call_if_found("InstancesClient", "delete_unary", **place)

    def log(self, token: Token, lines: int, known: Whereabouts = ANYWHERE) -> str:
        for found in self._named(token, known):
            place = {"zone": gcp_instance.zone_of(found), "instance": found.name}
            if (output := self.api.call_if_found("InstancesClient", "get_serial_port_output", **place)) is not None:
                return "\n".join(output.contents.splitlines()[-lines:])
        return ""  # GCE deletes the output with the machine

    def _check(self, request: MachineRequest) -> tuple[str, ...]:
        """The networks that may reach the machine. Raises Refused for requests that no call can satisfy."""
        if (request.boot.image or "").startswith("ami-"):
            sentence = f"{request.boot.image} is an image of AWS. Set image_id to an image of GCE, or remove it."
            raise Refused(sentence, code="ImageOfAnotherCloud", scope=Scope.CLOUD)
        try:
            return admitted(self.environ)
        except CidrsError as error:
            raise Refused(f"{error}. {CIDRS_MEND}", code="NoCidrs", scope=Scope.CLOUD) from error

    def _shortage(self, request: MachineRequest) -> Refused | None:
        short = self._quotas.shortage(request.offers[0])  # a batch is one type in one region
        return (
            refused_by(self.api.project, [(short.code, short.text)], request.offers, plain=short.text)
            if short
            else None
        )

    def _named(self, token: Token, known: Whereabouts) -> list[Any]:
        """The token's instances: usually one, at worst one in each of several zones. Raises DriverError.

        A zone that is not listed matters only if the instance may be there, and no other zone has one.
        """
        return [
            one
            for one in self._candidates(token, known)
            if gcp_instance.metadata_value(one, gcp_instance.TOKEN) == token
        ]

    def _candidates(self, token: Token, known: Whereabouts) -> list[Any]:
        name = gcp_instance.name_of(token)
        if known.zone:
            found = self.api.call_if_found("InstancesClient", "get", zone=known.zone, instance=name)
            return [] if found is None else [found]
        listed: list[Any] = []
        hidden: list[Unlisted] = []
        for one in self.api.instances(f'name = "{name}"'):
            (hidden if isinstance(one, Unlisted) else listed).append(one)
        hidden = [one for one in hidden if one.place.startswith(known.region) or not one.place]
        if hidden and not listed:
            raise DriverError(
                f"GCP could not list {hidden[0].place or 'all zones'}, where {name} may be: {hidden[0].why}."
            )
        return listed

    def _extended(self, found: Any, expiry: str) -> bool:
        """Whether the expiry was set; False if the metadata was changed at the same time."""
        items = [
            {"key": item.key, "value": item.value} for item in found.metadata.items if item.key != gcp_instance.EXPIRY
        ]
        items.append({"key": gcp_instance.EXPIRY, "value": expiry})
        metadata = {"fingerprint": found.metadata.fingerprint, "items": items}
        place = {"zone": gcp_instance.zone_of(found), "instance": found.name}
        try:
            operation = self.api.call_if_found(
                "InstancesClient", "set_metadata_unary", metadata_resource=metadata, **place
            )
        except GcpError as error:
            if error.status == PRECONDITION_FAILED:
                return False
            raise
        if operation is not None:
            operation = self.api.done(operation)
        return operation is None or not operation.error.errors


def _is_listed(zone: str, place: str, unlisted: Sequence[Unlisted]) -> bool:
    """Whether a list of `place` is complete for the machines in a zone."""
    missing = any(not one.place or zone == one.place or zone.startswith(f"{one.place}-") for one in unlisted)
    return place in ("", zone) and not missing


def _script(request: MachineRequest, secrets: Mapping[str, str]) -> str:
    try:
        return user_data(request, secrets)
    except ServingError as error:
        raise Refused(str(error), code="CannotBeServed", scope=Scope.CLOUD) from error
