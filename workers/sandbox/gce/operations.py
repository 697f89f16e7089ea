"""The operations of the GCE stand-in, with their status and result."""

import threading
import time
from typing import Any, TypeAlias

from workers.sandbox.gce.faults import ApiError
from workers.sandbox.stand_in import Clock, utc_now

LONGEST_WAIT = 120.0  # seconds, as in GCE

Json: TypeAlias = dict[str, Any]


class Operations:
    """All operations, and the stand-in's only lock: hold `changed` to read or change anything."""

    def __init__(self, base: str, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.changed = threading.Condition(threading.RLock())
        self.operations: dict[str, Json] = {}
        self._base = base
        self._last = int(time.time() * 1000) * 1000

    def url(self, project: str, *path: str) -> str:
        return "/".join((f"{self._base}/compute/v1/projects/{project}", *path))

    def operation(self, project: str, kind: str, place: str, target: str, target_id: str, **more: Any) -> Json:
        """Add a running operation. `place` is `zones/x`, `regions/x` or `global`."""
        number = self.number()
        operation: Json = {
            "kind": "compute#operation",
            "id": number,
            "name": f"operation-{number}",
            "operationType": kind,
            "targetLink": target,
            "targetId": target_id,
            "status": "RUNNING",
            "progress": 0,
            "insertTime": self.now(),
            "selfLink": self.url(project, place, "operations", f"operation-{number}"),
            **more,
        }
        if place != "global":
            operation[place.partition("s/")[0]] = self.url(project, place)
        with self.changed:
            self.operations[operation["name"]] = operation
        return operation

    def finish(self, operation: Json, errors: list[Json] | None = None) -> Json:
        with self.changed:
            operation.update(status="DONE", progress=100, endTime=self.now())
            if errors:
                operation.update(
                    error={"errors": errors}, httpErrorStatusCode=503, httpErrorMessage="SERVICE UNAVAILABLE"
                )
            self.changed.notify_all()
        return operation

    def wait(self, name: str) -> Json:
        with self.changed:
            operation = self.operations.get(name)
            if operation is None:
                raise ApiError(404, "notFound", f"The resource 'operations/{name}' was not found")
            self.changed.wait_for(lambda: operation["status"] == "DONE", LONGEST_WAIT)
            return operation

    def number(self) -> str:
        with self.changed:
            self._last += 1
            return str(self._last)

    def now(self) -> str:
        """The present time in GCE's format."""
        return self.clock().isoformat(timespec="milliseconds")
