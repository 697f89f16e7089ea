"""The operations of the GCE stand-in: what was asked for, how far it is, what came of it."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from workers.sandbox.gce.faults import ApiError

LONGEST_WAIT = 120.0  # seconds, as GCE's

Json: TypeAlias = dict[str, Any]

Clock: TypeAlias = Callable[[], datetime]
"""The present, aware; a day that is played in fast-forward brings its own."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Operations:
    """All of them, and the one lock of the stand-in: whoever reads or changes anything holds `changed`."""

    def __init__(self, base: str, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.changed = threading.Condition(threading.RLock())
        self.operations: dict[str, Json] = {}
        self._base = base
        self._last = int(time.time() * 1000) * 1000

    def url(self, project: str, *path: str) -> str:
        return "/".join((f"{self._base}/compute/v1/projects/{project}", *path))

    def operation(self, project: str, kind: str, place: str, target: str, target_id: str, **more: Any) -> Json:
        """A new one. `place` is `zones/x`, `regions/x` or `global`."""
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
        """As GCE writes times."""
        return self.clock().isoformat(timespec="milliseconds")
