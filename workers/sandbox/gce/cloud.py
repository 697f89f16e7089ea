"""The GCE stand-in's state: instances, operations and firewall rules, as one project sees them."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from workers.clouds.gcp.quota import GLOBAL
from workers.errors import WorkersError
from workers.sandbox.gce.catalog import Catalog
from workers.sandbox.gce.faults import IN_THE_OPERATION, ApiError, Faults, operation_error
from workers.sandbox.gce.operations import Json, Operations
from workers.sandbox.stand_in import Billed, Clock, Machines, utc_now

NOT_COUNTED = ("TERMINATED", "STOPPED", "SUSPENDED")

logger = logging.getLogger(__name__)


class Cloud(Operations):
    """The state of the stand-in. Public methods are thread-safe."""

    def __init__(
        self,
        machines: Machines,
        catalog: Catalog,
        base: str,
        *,
        allocates_in: float = 0.05,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(base, clock)
        self.machines = machines
        self.catalog = catalog
        self.faults = Faults()
        self.calls: list[Json] = []
        self.firewalls: dict[str, Json] = {}
        self.instances: dict[tuple[str, str], Json] = {}
        self.bill: list[Billed] = []
        """The machines that were deleted."""
        self._allocates_in = allocates_in
        self._requested: dict[str, str] = {}  # requestId to operation's name

    def launch(self, project: str, place: str, zones: list[str], body: Json, request_id: str) -> Json:
        """Launch one instance in the background, in the first of `zones` with capacity. Raises ApiError."""
        with self.changed:
            if request_id in self._requested:
                return self.operations[self._requested[request_id]]
            if any((zone, body["name"]) in self.instances for zone in zones):
                path = f"projects/{project}/zones/{zones[0]}/instances/{body['name']}"
                raise ApiError(409, "alreadyExists", f"The resource '{path}' already exists")
            kind = "insert" if place.startswith("zones/") else "bulkInsert"
            target = self.url(project, "zones", zones[0], "instances", body["name"])
            number = self.number()
            operation = self.operation(project, kind, place, target, number)
            if request_id:
                self._requested[request_id] = operation["name"]
        self._start(self._place, project, operation, zones, body, number)
        return operation

    def _place(self, project: str, operation: Json, zones: list[str], body: Json, number: str) -> None:
        time.sleep(self._allocates_in)
        errors: list[Json] = []
        for zone in zones:
            with self.changed:
                error = self._shortage(project, zone, body)
                if error is None:
                    instance = self._allocate(project, zone, body, number)
                    break
                errors.append(error)
        else:
            if operation["operationType"] == "bulkInsert":
                minimum = "Requested minimum count of 1 VMs could not be created."
                errors.insert(0, {"code": "VM_MIN_COUNT_NOT_REACHED", "message": minimum})
            self.finish(operation, errors)
            return
        try:
            self._boot(instance)
        except WorkersError as error:  # the sandbox runs its maximum number of engines
            with self.changed:
                del self.instances[zone, body["name"]]
            self.finish(operation, [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": str(error)}])
        else:
            if operation["operationType"] == "bulkInsert":
                made = {"targetVmCount": 1, "createdVmCount": 1, "status": "DONE"}
                operation["instancesBulkInsertOperationMetadata"] = {"perLocationStatus": {f"zones/{zone}": made}}
            self.finish(operation)

    def _shortage(self, project: str, zone: str, body: Json) -> Json | None:
        """The error if a fault or a quota prevents a launch in this zone, else None."""
        type_, spot = body["machineType"], is_spot(body)
        about = {"machine_type": type_, "zone": zone, "lifecycle": "spot" if spot else "on demand"}
        metric, count = self.catalog.gpus(zone, type_)
        if fault := self.faults.take(IN_THE_OPERATION, "instances.insert", **about):
            return operation_error(fault.code, project, zone, metric)
        region = self.catalog.zones[zone]
        counted = [(region, f"PREEMPTIBLE_{metric}" if spot else metric), *([] if spot else [("global", GLOBAL)])]
        for place, name in counted if count else []:
            limit = self.catalog.limit(place, name)
            if self.used().get((place, name), 0) + count > limit:
                where = "globally" if place == "global" else f"in region {place}"
                return {"code": "QUOTA_EXCEEDED", "message": f"Quota '{name}' exceeded.  Limit: {limit} {where}."}
        return None

    def _allocate(self, project: str, zone: str, body: Json, number: str) -> Json:
        path = ("zones", zone)
        links = [
            link | {"name": f"nic{n}", "fingerprint": self.number()}
            for n, link in enumerate(body.get("networkInterfaces", []))
        ]
        instance: Json = body | {
            "kind": "compute#instance",
            "id": number,
            "zone": self.url(project, *path),
            "selfLink": self.url(project, *path, "instances", body["name"]),
            "machineType": self.url(project, *path, "machineTypes", body["machineType"]),
            "status": "PROVISIONING",
            "creationTimestamp": self.now(),
            "labelFingerprint": self.number(),
            "metadata": body.get("metadata", {}) | {"fingerprint": self.number()},
            "networkInterfaces": links,
        }
        self.instances[zone, body["name"]] = instance
        return instance

    def _boot(self, instance: Json) -> None:
        address = self.machines.boot(id_of(instance), metadata(instance).get("startup-script", ""))
        with self.changed:
            if instance["status"] == "PROVISIONING":
                instance.update(status="RUNNING", lastStartTimestamp=self.now())
                for link in instance["networkInterfaces"]:
                    link["networkIP"] = "10.128.0.2"
                    for config in link.get("accessConfigs", []):
                        config["natIP"] = address
                return
        self.machines.kill(id_of(instance))  # it was deleted during its boot

    def get(self, zone: str, name: str) -> Json:
        with self.changed:
            if (zone, name) not in self.instances:
                raise ApiError(404, "notFound", f"The resource 'zones/{zone}/instances/{name}' was not found")
            return self.instances[zone, name]

    def remove(self, project: str, zone: str, name: str, kind: str = "delete") -> Json:
        """Delete an instance in the background; `kind` is the operation's type. Raises ApiError."""
        with self.changed:
            instance = self.get(zone, name)
            operation = self.operation(project, kind, f"zones/{zone}", instance["selfLink"], instance["id"])
            instance["status"] = "STOPPING"
        self._start(self._remove, (zone, name), instance, operation)
        return operation

    def _remove(self, key: tuple[str, str], instance: Json, operation: Json) -> None:
        self.machines.kill(id_of(instance))
        with self.changed:
            if self.instances.get(key) is instance:
                del self.instances[key]
        self.finish(operation)
        ended = instance.get("lastStopTimestamp") or operation["endTime"]
        billed = Billed(
            machine=instance["name"],
            zone=key[0],
            instance_type=instance["machineType"].rsplit("/", 1)[-1],
            spot=is_spot(instance),
            began=datetime.fromisoformat(instance["creationTimestamp"]),
            ended=datetime.fromisoformat(ended),
        )
        with self.changed:
            self.bill.append(billed)

    def change(self, project: str, zone: str, name: str, part: str, sent: Json) -> Json:
        """`setLabels` and `setMetadata`; `sent` must contain the present fingerprint. Raises ApiError."""
        with self.changed:
            instance = self.get(zone, name)
            held = instance["labelFingerprint"] if part == "labels" else instance["metadata"]["fingerprint"]
            if sent.get("labelFingerprint" if part == "labels" else "fingerprint") != held:
                raise ApiError(412, "conditionNotMet", "Supplied fingerprint does not match current fingerprint.")
            if part == "labels":
                instance.update(labels=sent.get("labels", {}), labelFingerprint=self.number())
            else:
                instance["metadata"] = {"items": sent.get("items", []), "fingerprint": self.number()}
            kind = "setLabels" if part == "labels" else "setMetadata"
            operation = self.operation(project, kind, f"zones/{zone}", instance["selfLink"], instance["id"])
        return self.finish(operation)

    def used(self) -> dict[tuple[str, str], int]:
        """Number of GPUs in use by place (region or `global`) and metric."""
        used: dict[tuple[str, str], int] = {}
        with self.changed:
            for (zone, _), instance in self.instances.items():
                metric, count = self.catalog.gpus(zone, instance["machineType"].rsplit("/", 1)[-1])
                if not count or instance["status"] in NOT_COUNTED:
                    continue
                name = f"PREEMPTIBLE_{metric}" if is_spot(instance) else metric
                for key in ((self.catalog.zones[zone], name), *([] if is_spot(instance) else [("global", GLOBAL)])):
                    used[key] = used.get(key, 0) + count
        return used

    @staticmethod
    def _start(work: Callable[..., None], *args: Any) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()


def id_of(instance: Json) -> str:
    return f"{instance['name']}-{instance['id']}"


def metadata(instance: Json) -> dict[str, str]:
    return {item["key"]: item.get("value", "") for item in instance.get("metadata", {}).get("items", [])}


def is_spot(body: Json) -> bool:
    return bool(body.get("scheduling", {}).get("provisioningModel") == "SPOT")
