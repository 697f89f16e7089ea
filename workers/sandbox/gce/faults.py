"""What goes wrong in the GCE stand-in, by machine type, zone and lifecycle, and how GCE puts it."""

from fnmatch import fnmatchcase

from msgspec import Struct

LAUNCHES = ("instances.insert", "regionInstances.bulkInsert")

DOMAIN = "global"


class ApiError(Exception):
    """An HTTP answer of 400 or above."""

    def __init__(self, status: int, reason: str, message: str, info: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.info = info

    def body(self) -> dict[str, object]:
        one = {"message": str(self), "domain": DOMAIN, "reason": self.reason}
        error: dict[str, object] = {"code": self.status, "message": str(self), "errors": [one]}
        if self.info:
            type_ = "type.googleapis.com/google.rpc.ErrorInfo"
            error["details"] = [{"@type": type_, "reason": self.info, "domain": "googleapis.com"}]
        return {"error": error}


# Code, as faults name it: status, reason, ErrorInfo's reason, message.
ON_THE_CALL = {
    "quotaExceeded": (403, "quotaExceeded", "", "Quota 'NVIDIA_A100_GPUS' exceeded.  Limit: 0.0 in region {region}."),
    "rateLimitExceeded": (
        403,
        "rateLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
        "Quota exceeded for quota metric 'Queries'.",
    ),
    "429": (429, "rateLimitExceeded", "RATE_LIMIT_EXCEEDED", "Too many requests."),
    "authError": (401, "authError", "ACCESS_TOKEN_EXPIRED", "Request had invalid authentication credentials."),
    "forbidden": (403, "forbidden", "", "Required 'compute.instances.create' permission for 'projects/{project}'"),
    "accessNotConfigured": (
        403,
        "accessNotConfigured",
        "SERVICE_DISABLED",
        "Compute Engine API has not been used in project {project} before or it is disabled.",
    ),
    "BILLING_DISABLED": (403, "forbidden", "BILLING_DISABLED", "This API method requires billing to be enabled."),
    "projectNotFound": (404, "notFound", "", "The resource 'projects/{project}' was not found"),
    "networkNotFound": (404, "notFound", "", "The resource 'projects/{project}/global/networks/default' was not found"),
    "backendError": (503, "backendError", "", "Internal error. Please try again."),
}
EVERYWHERE = ("authError", "forbidden", "accessNotConfigured", "BILLING_DISABLED", "projectNotFound")

IN_THE_OPERATION = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": "The zone 'projects/{project}/zones/{zone}' does not have enough resources "
    "available to fulfill the request.  Try a different zone, or try again later.",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": "The zone 'projects/{project}/zones/{zone}' does not have enough "
    "resources available to fulfill the request.  '(resource type:compute)'.",
    "QUOTA_EXCEEDED": "Quota 'NVIDIA_A100_GPUS' exceeded.  Limit: 0.0 in region {region}.",
    "GPUS_ALL_REGIONS": "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
}
SILENT = ("lost", "slow", "preempted", "deleted")


class Fault(Struct, frozen=True, kw_only=True):
    """What happens to the calls that it fits."""

    code: str
    """A code of GCE's; or `lost` (the answer, after the effect), `slow`, and `preempted` or `deleted` (the machine)."""
    machine_type: str = "*"
    zone: str = "*"
    lifecycle: str = "*"
    """`spot` or `on demand`."""
    method: str = ""
    """Which calls, as `instances.*`; empty: launches, or all of them for a code that speaks of the whole project."""
    seconds: float = 1.0
    """How slow, or how long after it is up the machine goes."""
    times: int | None = None
    """How often; None is always."""

    def fits(self, method: str, machine_type: str = "", zone: str = "", lifecycle: str = "") -> bool:
        of = (self.machine_type, machine_type), (self.zone, zone), (self.lifecycle, lifecycle)
        return self._meant(method) and all(not value or fnmatchcase(value, pattern) for pattern, value in of)

    def _meant(self, method: str) -> bool:
        if self.method:
            return fnmatchcase(method, self.method)
        if self.code == "networkNotFound":
            return method == "firewalls.insert"
        return self.code in EVERYWHERE or method in LAUNCHES


class Faults:
    """Those that are set now. Not for several threads at once: the cloud's lock is held."""

    def __init__(self) -> None:
        self._set: list[list[object]] = []  # each a fault and how often it is still to happen

    def add(self, fault: Fault) -> None:
        self._set.append([fault, fault.times])

    def clear(self) -> None:
        self._set.clear()

    def take(self, codes: object, method: str, **about: str) -> Fault | None:
        """The first fault with one of `codes` (any container) that fits, counted as having happened."""
        for entry in self._set:
            fault, left = entry
            assert isinstance(fault, Fault)  # noqa: S101 - what add put there
            if left != 0 and fault.code in codes and fault.fits(method, **about):  # type: ignore[operator]
                entry[1] = None if left is None else left - 1  # type: ignore[operator]
                return fault
        return None


def raised(fault: Fault, project: str, place: str) -> ApiError:
    """A fault on the call, as GCE answers."""
    status, reason, info, message = ON_THE_CALL[fault.code]
    return ApiError(status, reason, message.format(project=project, region=place), info)


def told(code: str, project: str, zone: str) -> dict[str, str]:
    """A fault in the operation, as GCE puts it."""
    region = zone.rpartition("-")[0]
    message = IN_THE_OPERATION[code].format(project=project, zone=zone, region=region)
    return {"code": "QUOTA_EXCEEDED" if code == "GPUS_ALL_REGIONS" else code, "message": message}
