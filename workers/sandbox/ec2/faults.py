"""Faults of the EC2 stand-in, by instance type, zone, region and lifecycle, with EC2's error messages."""

from collections.abc import Container
from fnmatch import fnmatchcase

from msgspec import Struct

LAUNCHES = ("RunInstances", "CreateFleet")

ON_DEMAND, SPOT = "on-demand", "spot"

# HTTP status and message by code, for errors that a launch returns per offer.
OF_AN_OFFER = {
    "InsufficientInstanceCapacity": (
        500,
        (
            "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({name}). "
            "Our system will be working on provisioning additional capacity.{hint}"
        ),
    ),
    "UnfulfillableCapacity": (500, "Unable to fulfill capacity due to your request configuration."),
    "VcpuLimitExceeded": (
        400,
        (
            "You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance "
            "bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        ),
    ),
    "MaxSpotInstanceCountExceeded": (400, "Max spot instance count exceeded"),
    "Unsupported": (
        400,
        "Your requested instance type ({type}) is not supported in your requested Availability Zone ({name}).",
    ),
}

# The same for errors of a complete call.
OF_A_CALL = {
    "UnsupportedOperation": (400, "The operation is not supported for this instance type."),
    "RequestLimitExceeded": (503, "Request limit exceeded."),
    "UnauthorizedOperation": (403, "You are not authorized to perform this operation."),
    "InvalidLaunchTemplateId.NotFound": (400, "The specified launch template does not exist."),
    "AuthFailure": (401, "AWS was not able to validate the provided access credentials"),
    "RequestExpired": (400, "Request has expired."),
    "ExpiredToken": (400, "The security token included in the request is expired"),
    "OperationNotPermitted": (
        400,
        "The instance may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
    ),
    "ParameterNotFound": (400, ""),
    "InternalError": (500, "An internal error has occurred"),
    "Unavailable": (503, "The service is unavailable. Please try again shortly."),
}
EVERYWHERE = ("AuthFailure", "RequestExpired", "ExpiredToken")
SILENT = ("lost", "slow", "unseen", "preempted", "deleted")

# Codes and messages of a fleet for resources that it does not find yet.
UNSEEN = {
    "sg": ("InvalidGroup.NotFound", "The security group '{id}' does not exist in VPC 'vpc-0'"),
    "lt": (
        "InvalidLaunchTemplateName.NotFoundException",
        "The specified launch template, with template name {id}, does not exist.",
    ),
}


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault, and the calls that it applies to; patterns are fnmatch's."""

    code: str
    """An error code of EC2, in the tables above or not; or `lost` (the call takes effect without an answer), `slow`,
    `unseen` (fleets do not find younger groups and templates), `preempted` or `deleted` (the machine ends)."""
    message: str = ""
    """Replaces EC2's message; required for a code that is not in the tables above."""
    instance_type: str = "*"
    zone: str = "*"
    """A zone id."""
    region: str = "*"
    lifecycle: str = "*"
    """`spot` or `on-demand`."""
    action: str = ""
    """Pattern of actions, such as `Describe*`; empty: launches, or all if the code is about credentials."""
    seconds: float = 1.0
    """Delay of a slow answer, age of what fleets find, or time from the machine's boot to its end."""
    times: int | None = None
    """How often the fault happens; None: no limit."""
    key: str = "*"
    """Pattern of the access key id that signs the call."""
    later_pages: bool = False
    """Only calls for further pages of a list."""

    def fits(
        self,
        action: str,
        *,
        region: str = "",
        type_: str = "",
        zone: str = "",
        lifecycle: str = "",
        key: str = "",
        page: str = "",
    ) -> bool:
        if self.later_pages and not page:
            return False
        of = (self.region, region), (self.instance_type, type_), (self.zone, zone), (self.lifecycle, lifecycle)
        about = (*of, (self.key, key))
        return self._matches_action(action) and all(
            not value or fnmatchcase(value, pattern) for pattern, value in about
        )

    def _matches_action(self, action: str) -> bool:
        if self.action:
            return fnmatchcase(action, self.action)
        return self.code in EVERYWHERE or action in LAUNCHES


class _Entry:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.times


class Faults:
    """The faults that are set. Not thread-safe: the caller holds the cloud's lock."""

    def __init__(self) -> None:
        self._set: list[_Entry] = []

    def add(self, fault: Fault) -> None:
        self._set.append(_Entry(fault))

    def clear(self) -> None:
        self._set.clear()

    def of_a_call(self, action: str, **about: str) -> Fault | None:
        return self._take(OF_A_CALL, action, **about)

    def silent(self, code: str, action: str, **about: str) -> Fault | None:
        return self._take((code,), action, **about)

    def of_an_offer(self, action: str, **about: str) -> Fault | None:
        """The first matching fault that is neither silent nor of a complete call; unknown codes are included."""
        for entry in self._set:
            if (
                entry.fault.code not in OF_A_CALL
                and entry.fault.code not in SILENT
                and self._counts(entry, action, about)
            ):
                return entry.fault
        return None

    def standing(self, code: str, **about: str) -> bool:
        """Whether a launch would meet such a fault now; does not count as one."""
        return any(e.fault.code == code and e.left != 0 and e.fault.fits("CreateFleet", **about) for e in self._set)

    def _take(self, codes: Container[str], action: str, **about: str) -> Fault | None:
        for entry in self._set:
            if entry.fault.code in codes and self._counts(entry, action, about):
                return entry.fault
        return None

    @staticmethod
    def _counts(entry: _Entry, action: str, about: dict[str, str]) -> bool:
        if entry.left == 0 or not entry.fault.fits(action, **about):
            return False
        entry.left = None if entry.left is None else entry.left - 1
        return True
