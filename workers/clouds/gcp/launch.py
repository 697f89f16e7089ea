"""The launch calls of GCE: one zone by `insert`, a region by `bulkInsert`; what came of them is read to the end."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from workers.clouds.driver import Refused
from workers.clouds.gcp import instance as gcp_instance
from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.errors import CONFLICT, CloudSaid, no, refused_by
from workers.machines import MachineRequest, Token
from workers.placement.offer import Offer
from workers.placement.refusals import Scope

EXISTS = ("RESOURCE_ALREADY_EXISTS", "alreadyExists")


class Made(Struct, frozen=True, kw_only=True):
    """The launch was carried out, now or when the same was asked before."""

    found: Any | None
    """The instance; None where it is gone already."""
    at: datetime


class Launcher:
    """Errors of the launch call itself are refusals; whatever fails after it says nothing of the effect."""

    def __init__(self, api: GcpClient) -> None:
        self._api = api

    def __call__(self, request: MachineRequest, script: str, tag: str) -> Made:
        """One machine of one of the request's offers. Raises Refused, DriverError."""
        if len(request.offers) == 1:
            return self._insert(request, request.offers[0], script, tag)
        if request.offers[0].instance_type.startswith(gcp_instance.ZONE_ONLY):
            return self._in_turn(request, script, tag)
        return self._bulk_insert(request, script, tag)

    def _in_turn(self, request: MachineRequest, script: str, tag: str) -> Made:
        """One zone after another, in the order of the request."""
        said: list[Refused] = []
        for offer in request.offers:
            try:
                return self._insert(request, offer, script, tag)
            except Refused as error:
                said.append(error)
                if error.scope is not Scope.ZONE:
                    break
        refusals = tuple(refusal for error in said for refusal in error.refusals)
        raise Refused(str(said[-1]), code=said[-1].code, scope=said[-1].scope, refusals=refusals) from said[-1]

    def _insert(self, request: MachineRequest, offer: Offer, script: str, tag: str) -> Made:
        body = gcp_instance.instance(request, offer, script, tag)
        asked: dict[str, Any] = {"request_id": _request_id(request.token, offer.zone), "instance_resource": body}
        try:
            operation = self._api.call("InstancesClient", "insert_unary", zone=offer.zone, **asked)
        except CloudSaid as said:
            if said.status == CONFLICT and said.code in EXISTS:
                return self._adopted(request, [offer.zone])
            raise no(said, (offer,)) from said
        operation = self._done(operation, (offer,))
        return self._adopted(request, [offer.zone], operation)

    def _bulk_insert(self, request: MachineRequest, script: str, tag: str) -> Made:
        region = request.offers[0].region
        body = gcp_instance.bulk(request, script, tag)
        asked: dict[str, Any] = {
            "request_id": _request_id(request.token, region),
            "bulk_insert_instance_resource_resource": body,
        }
        try:
            operation = self._api.call("RegionInstancesClient", "bulk_insert_unary", region=region, **asked)
        except CloudSaid as said:
            if said.status == CONFLICT and said.code in EXISTS:
                return self._adopted(request, [])
            raise no(said, request.offers) from said
        operation = self._done(operation, request.offers)
        return self._adopted(request, _zones(operation), operation)

    def _done(self, operation: Any, offers: tuple[Offer, ...]) -> Any:
        """The operation at its end, if it made a machine. Raises Refused, DriverError."""
        operation = self._api.done(operation)
        errors = [(error.code, error.message) for error in operation.error.errors]
        if errors and not _zones(operation) and not any(code in EXISTS for code, _ in errors):
            raise refused_by(self._api.project, errors, offers)
        return operation

    def _adopted(self, request: MachineRequest, zones: Sequence[str], operation: Any = None) -> Made:
        """The instance that bears the request's name, if it was made for it; in any zone if none is known."""
        name = gcp_instance.name_of(request.token)
        looked: Iterable[Any]
        if zones:
            looked = (self._api.look("InstancesClient", "get", zone=zone, instance=name) for zone in zones)
        else:
            looked = self._api.instances(f'name = "{name}"')
        found = next((one for one in looked if one is not None), None)
        if found is not None and gcp_instance.request_of(found) != request:
            sentence = f"The name {name} is taken by a machine that was not made for this request."
            raise Refused(sentence, code="TokenMismatch", scope=Scope.BUG)
        at = datetime.fromisoformat(operation.insert_time).astimezone(UTC) if operation else datetime.now(UTC)
        return Made(found=found, at=at)


def _zones(operation: Any) -> list[str]:
    """Where a `bulkInsert` says that it made something, and left it there."""
    by_zone = operation.instances_bulk_insert_operation_metadata.per_location_status
    kept = [place for place, status in by_zone.items() if status.created_vm_count > status.deleted_vm_count]
    return [place.rsplit("/", 1)[-1] for place in kept]


def _request_id(token: Token, place: str) -> str:
    """The same for the same call, so that GCE carries it out once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mixtral-bot/{token}/{place}"))
