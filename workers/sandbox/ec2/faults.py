"""Faults of the EC2 stand-in, by instance type, zone, region and lifecycle, with EC2's error messages."""

from fnmatch import fnmatchcase

from workers.sandbox.stand_in import AnyFault, AnyFaults

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


class Fault(AnyFault, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
    key: str = "*"
    """Pattern of the access key id that signs the call."""
    later_pages: bool = False
    """Only calls for further pages of a list."""

    def fits(self, call: str, **about: str) -> bool:
        page = about.pop("page", "")
        return (bool(page) or not self.later_pages) and super().fits(call, **about)

    def _matches(self, call: str) -> bool:
        if self.action:
            return fnmatchcase(call, self.action)
        return self.code in EVERYWHERE or call in LAUNCHES


class Faults(AnyFaults[Fault]):
    """The faults of EC2. OF_A_CALL holds the codes of those that fail a whole call."""

    def silent(self, code: str, action: str, **about: str) -> Fault | None:
        return self.take((code,), action, **about)

    def of_an_offer(self, action: str, **about: str) -> Fault | None:
        """The first matching fault that is neither silent nor of a complete call; unknown codes are included."""
        codes = {fault.code for fault in self._set} - OF_A_CALL.keys() - set(SILENT)
        return self.take(codes, action, **about)

    def standing(self, code: str, **about: str) -> bool:
        """Whether a launch would meet such a fault now; does not count as one."""
        return any(
            fault.code == code and self._is_left(at) and fault.fits("CreateFleet", **about)
            for at, fault in enumerate(self._set)
        )
