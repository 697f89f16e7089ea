"""GCE's launch calls: `insert` for one zone, `bulkInsert` for a region. Both wait for the operation's end."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from workers.clouds.driver import DriverError, Refused
from workers.clouds.gcp import instance as gcp_instance
from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.errors import CONFLICT, GcpError, refused_by, translated
from workers.machines import MachineRequest, Token, Unlisted
from workers.placement.offer import Offer
from workers.placement.refusals import Scope

EXISTS = ("RESOURCE_ALREADY_EXISTS", "alreadyExists")


class Made(Struct, frozen=True, kw_only=True):
    """The result of a launch, by this call or by an earlier identical one."""

    found: Any | None
    """The instance; None if it no longer exists."""
    at: datetime


class Launcher:
    """Launches machines. Only errors of the launch call and its operation are refusals."""

    def __init__(self, api: GcpClient) -> None:
        self._api = api

    def __call__(self, request: MachineRequest, extras: gcp_instance.Extras) -> Made:
        """Make one machine from one of the request's offers. Raises Refused, DriverError."""
        if len(request.offers) == 1:
            return self._insert(request, request.offers[0], extras)
        if request.offers[0].instance_type.startswith(gcp_instance.ZONE_ONLY):
            return self._in_turn(request, extras)
        return self._bulk_insert(request, extras)

    def _in_turn(self, request: MachineRequest, extras: gcp_instance.Extras) -> Made:
        """Try the zones one by one, in the order of the request."""
        refused: list[Refused] = []
        for offer in request.offers:
            try:
                return self._insert(request, offer, extras)
            except Refused as error:
                refused.append(error)
                if error.scope is not Scope.ZONE:
                    break
        refusals = tuple(refusal for error in refused for refusal in error.refusals)
        last = refused[-1]
        raise Refused(str(last), code=last.code, scope=last.scope, refusals=refusals) from last

    def _insert(self, request: MachineRequest, offer: Offer, extras: gcp_instance.Extras) -> Made:
        body = gcp_instance.instance(request, offer, extras)
        fields: dict[str, Any] = {"request_id": _request_id(request.token, offer.zone), "instance_resource": body}
        try:
            operation = self._api.call("InstancesClient", "insert_unary", zone=offer.zone, **fields)
        except GcpError as error:
            if error.status == CONFLICT and error.code in EXISTS:
                return self._adopted(request, [offer.zone])
            raise translated(error, (offer,)) from error
        operation = self._done(operation, (offer,))
        return self._adopted(request, [offer.zone], operation)

    def _bulk_insert(self, request: MachineRequest, extras: gcp_instance.Extras) -> Made:
        region = request.offers[0].region
        body = gcp_instance.bulk(request, extras)
        fields: dict[str, Any] = {
            "request_id": _request_id(request.token, region),
            "bulk_insert_instance_resource_resource": body,
        }
        try:
            operation = self._api.call("RegionInstancesClient", "bulk_insert_unary", region=region, **fields)
        except GcpError as error:
            if error.status == CONFLICT and error.code in EXISTS:
                return self._adopted(request, [])
            raise translated(error, request.offers) from error
        operation = self._done(operation, request.offers)
        return self._adopted(request, _zones(operation), operation)

    def _done(self, operation: Any, offers: tuple[Offer, ...]) -> Any:
        """Wait for the operation. Raises Refused if it made no machine, DriverError."""
        operation = self._api.done(operation)
        errors = [(error.code, _text(error)) for error in operation.error.errors]
        if errors and not _zones(operation) and not any(code in EXISTS for code, _ in errors):
            raise refused_by(self._api.project, errors, offers)
        return operation

    def _adopted(self, request: MachineRequest, zones: Sequence[str], operation: Any = None) -> Made:
        """The instance with the request's name, in `zones` or, if empty, in any zone. Raises Refused, DriverError."""
        name = gcp_instance.name_of(request.token)
        candidates: Iterable[Any]
        if zones:
            candidates = (self._api.call_if_found("InstancesClient", "get", zone=zone, instance=name) for zone in zones)
        else:
            listed = list(self._api.instances(f'name = "{name}"'))
            candidates = [one for one in listed if not isinstance(one, Unlisted)]
            unlisted = [one for one in listed if isinstance(one, Unlisted)]
            if unlisted and not candidates:
                raise DriverError(f"GCP could not list {unlisted[0].place}, where {name} may be.")
        found = next((one for one in candidates if one is not None), None)
        if found is not None and gcp_instance.request_of(found) != request:
            sentence = f"The name {name} belongs to a machine that was made for another request."
            raise Refused(sentence, code="TokenMismatch", scope=Scope.BUG)
        at = datetime.fromisoformat(operation.insert_time).astimezone(UTC) if operation else datetime.now(UTC)
        return Made(found=found, at=at)


def _text(error: Any) -> str:
    """The message of an operation's error, with its details, which may recommend zones."""
    details = (detail.localized_message.message for detail in error.error_details)
    return " ".join(filter(None, (error.message, *details)))


def _zones(operation: Any) -> list[str]:
    """The zones in which a `bulkInsert` made a machine and did not delete it."""
    by_zone = operation.instances_bulk_insert_operation_metadata.per_location_status
    kept = [place for place, status in by_zone.items() if status.created_vm_count > status.deleted_vm_count]
    return [place.rsplit("/", 1)[-1] for place in kept]


def _request_id(token: Token, place: str) -> str:
    """An id derived from the call, so that GCE executes repeated calls once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mixtral-bot/{token}/{place}"))
