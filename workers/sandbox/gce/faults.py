"""Faults of the GCE stand-in, by machine type, zone and lifecycle, with GCE's error messages."""

from fnmatch import fnmatchcase

from workers.sandbox.stand_in import AnyFault, AnyFaults

LAUNCHES = ("instances.insert", "regionInstances.bulkInsert")

DOMAIN = "global"


class ApiError(Exception):
    """An HTTP answer with a status of 400 or above."""

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


# Status, reason, ErrorInfo's reason and message by code, for errors of a call.
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
    "conditionNotMet": (
        412,
        "conditionNotMet",
        "",
        "Constraint constraints/compute.vmExternalIpAccess violated for project {project}.",
    ),
    "imageNotFound": (404, "notFound", "", "The resource 'projects/q/global/images/family/f' was not found"),
    "projectNotFound": (404, "notFound", "", "The resource 'projects/{project}' was not found"),
    "networkNotFound": (404, "notFound", "", "The resource 'projects/{project}/global/networks/default' was not found"),
    "backendError": (503, "backendError", "", "Internal error. Please try again."),
}
EVERYWHERE = ("authError", "forbidden", "accessNotConfigured", "BILLING_DISABLED", "projectNotFound")

# Message by code, for errors of an operation.
IN_THE_OPERATION = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": "The zone 'projects/{project}/zones/{zone}' does not have enough resources "
    "available to fulfill the request.  Try a different zone, or try again later.",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": "The zone 'projects/{project}/zones/{zone}' does not have enough "
    "resources available to fulfill the request.  '(resource type:compute)'.",
    "QUOTA_EXCEEDED": "Quota '{metric}' exceeded.  Limit: 0.0 in region {region}.",
    "GPUS_ALL_REGIONS": "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.",
    "CPUS_ALL_REGIONS": "Quota 'CPUS_ALL_REGIONS' exceeded.  Limit: 12.0 globally.",
    "SSD_TOTAL_GB": "Quota 'SSD_TOTAL_GB' exceeded.  Limit: 500.0 in region {region}.",
    "CONDITION_NOT_MET": "Location ZONE:{zone} violates constraint constraints/gcp.resourceLocations on the resource "
    "projects/{project}/zones/{zone}/instances/i.",
}
SILENT = ("lost", "slow", "preempted", "deleted", "unreachable")
UNREACHABLE = "unreachable"


class Fault(AnyFault, frozen=True, kw_only=True):
    """A fault, and the calls that it applies to; patterns are fnmatch's."""

    code: str
    """An error code of GCE; or `lost` (the call takes effect without an answer), `slow`, `preempted`, `deleted`, or
    `unreachable` (every call about the zone fails, and lists of all zones leave it out and say so; with a `method`,
    those lists only)."""
    machine_type: str = "*"
    lifecycle: str = "*"
    """`spot` or `on demand`."""
    method: str = ""
    """Pattern of methods, such as `instances.*`; empty: launches, or all if the code is about the project."""
    seconds: float = 1.0
    """Delay of a slow answer, or time from the machine's boot to its end."""
    token: str = "*"  # noqa: S105 - a pattern
    """Pattern of the access token that the call bears."""

    def _matches(self, call: str) -> bool:
        if self.method:
            return fnmatchcase(call, self.method)
        if self.code == UNREACHABLE:
            return True
        if self.code == "networkNotFound":
            return call == "firewalls.insert"
        return self.code in EVERYWHERE or call in LAUNCHES


class Faults(AnyFaults[Fault]):
    """The faults of GCE. `unreachable` finds those of a zone that no call reaches."""

    def unreachable(self, zone: str) -> bool:
        return any(
            fault.code == UNREACHABLE and not fault.method and self._is_left(at) and fault.fits("", zone=zone)
            for at, fault in enumerate(self._set)
        )


def raised(fault: Fault, project: str, place: str) -> ApiError:
    """The error that GCE returns for a fault of a call."""
    status, reason, info, message = ON_THE_CALL[fault.code]
    return ApiError(status, reason, message.format(project=project, region=place), info)


def operation_error(code: str, project: str, zone: str, metric: str) -> dict[str, str]:
    """The error that GCE writes into an operation for a fault. `metric`: the quota of the machine's GPU."""
    region = zone.rpartition("-")[0]
    message = IN_THE_OPERATION[code].format(project=project, zone=zone, region=region, metric=metric)
    return {"code": "QUOTA_EXCEEDED" if message.startswith("Quota ") else code, "message": message}
