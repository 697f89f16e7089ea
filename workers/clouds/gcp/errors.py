"""PURE: translates GCE's errors to DriverError, or to Refused with cause and mend."""

import re
from typing import Any

from msgspec.structs import replace

from workers.clouds.driver import DriverError, Refused
from workers.placement.offer import Offer
from workers.placement.refusal_codes import classify, code_by_text
from workers.placement.refusals import Refusal, Scope

UNAUTHENTICATED = 401
NOT_FOUND = 404
CONFLICT = 409
PRECONDITION_FAILED = 412
TOO_MANY = 429
SERVER_ERROR = 500

LOGIN = (
    "On the host of `mixtral-bot worker`, run `gcloud auth application-default login`, or renew the key in the file "
    "named by GOOGLE_APPLICATION_CREDENTIALS"
)

MENDS = {
    "authError": LOGIN,
    "forbidden": "Grant the account roles/compute.instanceAdmin.v1 and roles/compute.securityAdmin in {project}",
    "accessNotConfigured": "Run `gcloud services enable compute.googleapis.com --project {project}`",
    "BILLING_DISABLED": "Link a billing account to {project} in the Google Cloud console",
    "projectNotFound": "Set GOOGLE_CLOUD_PROJECT to the id of a project that these credentials can see, not {project}",
    "networkNotFound": "Run `gcloud compute networks create default --project {project}`",
    "subnetworkNotFound": "Create the subnetwork of `default` in this region, or leave the region out of the recipe",
    "CONDITION_NOT_MET": "Ask the organisation's administrator for an exception for {project}",
    "CONDITION_NOT_MET.ExternalIp": (
        "Ask the organisation's administrator to allow external addresses in {project} "
        "(constraints/compute.vmExternalIpAccess)"
    ),
    "CONDITION_NOT_MET.Location": (
        "Leave the region out of the recipe, or ask the organisation's administrator to allow it "
        "(constraints/gcp.resourceLocations)"
    ),
    "IP_SPACE_EXHAUSTED": "Expand the subnetwork of `default` in this region",
    "IP_SPACE_EXHAUSTED_WITH_DETAILS": "Expand the subnetwork of `default` in this region",
    "insufficientPermissions": LOGIN,
    "SERVICE_ACCOUNT_ACCESS_DENIED": "Grant the account roles/iam.serviceAccountUser in {project}",
    "imageNotFound": "Correct or remove the recipe's image_id, or update mixtral-bot",
    "diskIncompatible": "Change or remove the recipe's disk_tier",
    "diskTooSmall": "Increase the recipe's disk_size, or remove it",
    "zoneNotFound": "Correct the zone in the price table, or the recipe's infra, region and zone",
    "regionNotFound": "Correct the region in the price table, or the recipe's infra, region and zone",
    "QUOTA_EXCEEDED": "Request more at https://console.cloud.google.com/iam-admin/quotas?project={project}",
    "GPUS_ALL_REGIONS": "Request more GPUS_ALL_REGIONS at https://console.cloud.google.com/iam-admin/quotas?project={project}",
}

SAME_AS = {
    "required": "authError",
    "SERVICE_DISABLED": "accessNotConfigured",
    "PERMISSION_DENIED": "forbidden",
    "IAM_PERMISSION_DENIED": "forbidden",
    "CONSUMER_INVALID": "projectNotFound",
    "quotaExceeded": "QUOTA_EXCEEDED",
    "conditionNotMet": "CONDITION_NOT_MET",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": "insufficientPermissions",
    "UREQ_PROJECT_BILLING_NOT_FOUND": "BILLING_DISABLED",
}

WIDEST_FIRST = (Scope.CLOUD, Scope.GPU, Scope.REGION, Scope.BACK_OFF, Scope.BUG, Scope.ZONE)
SUMMARY = "VM_MIN_COUNT_NOT_REACHED"
"""Part of the errors of each `bulkInsert` that made no machine. Contains no reason."""


class GcpError(DriverError):
    """GCE answered a call with an error, with its `text` and its `code` or an equivalent one."""

    def __init__(self, project: str, code: str, text: str, status: int) -> None:
        super().__init__(_sentence(project, code, f"GCP returned an error for {project}: {code}: {text.rstrip('.')}"))
        self.project = project
        self.code = code
        self.text = text
        self.status = status


def from_sdk(project: str, error: Any) -> GcpError:
    """Translate the SDK's exception for an HTTP status of 400 or above."""
    status = int(error.code or SERVER_ERROR)
    reason = next((one.get("reason", "") for one in error.errors or () if isinstance(one, dict)), "")
    info = error.reason or ""
    text = str(error.message).split(": ", 1)[-1] if "://" in str(error.message)[:20] else str(error.message)
    code = SAME_AS.get(reason, reason) or SAME_AS.get(info, info) or str(status)
    if info in ("CONSUMER_INVALID", "BILLING_DISABLED"):
        code = SAME_AS.get(info, info)
    if status == UNAUTHENTICATED:
        code = "authError"
    if status == TOO_MANY and not reason:
        code = "rateLimitExceeded"
    return GcpError(project, code_by_text("gcp", code, text), text, status)


def translated(error: GcpError, offers: tuple[Offer, ...]) -> DriverError | Refused:
    """A failed launch call as a refusal of `offers`, or unchanged if it may have had an effect."""
    return error if error.status >= SERVER_ERROR else refused(error, offers)


def refused(error: GcpError, offers: tuple[Offer, ...]) -> Refused:
    """A failed call as the refusal of all `offers`."""
    refusal = classify("gcp", error.code, error.text, offers)
    refusal = replace(refusal, sentence=_sentence(error.project, refusal.code, refusal.sentence))
    return Refused(refusal.sentence, code=refusal.code, scope=refusal.scope, refusals=(refusal,))


def refused_by(
    project: str, errors: list[tuple[str, str]], offers: tuple[Offer, ...], *, plain: str | None = None
) -> Refused:
    """The (code, text) errors of an operation as one error with the refusals of `offers`.

    `plain`: cause for people, instead of the one for the code. Offers without a refusal are added to the widest one.
    """
    specific = [error for error in errors if error[0] != SUMMARY] or errors
    refusals = tuple(_refusal(project, code, text, offers, plain) for code, text in specific)
    widest = min(refusals, key=lambda refusal: WIDEST_FIRST.index(refusal.scope))
    rest = tuple(offer for offer in offers if not any(offer in refusal.offers for refusal in refusals))
    if rest:
        refusals = tuple(replace(r, offers=(*r.offers, *rest)) if r is widest else r for r in refusals)
    return Refused(widest.sentence, code=widest.code, scope=widest.scope, refusals=refusals)


def _refusal(project: str, code: str, text: str, offers: tuple[Offer, ...], plain: str | None) -> Refusal:
    """The refusal for one error: of the offers in the zones that its text names, otherwise of all."""
    code = SAME_AS.get(code, code)
    named = tuple(offer for offer in offers if re.search(rf"zones/{re.escape(offer.zone)}\b", text))
    refusal = classify("gcp", code, text, named or offers)
    return replace(refusal, sentence=_sentence(project, refusal.code, plain or refusal.sentence))


def _sentence(project: str, code: str, cause: str) -> str:
    """Cause and mend, without a full stop."""
    mend = MENDS.get(code)
    return f"{cause}. {mend.format(project=project)}" if mend else cause
