"""PURE: what GCE's errors are called, and the sentences that people read of them."""

import re
from typing import Any

from msgspec.structs import replace

from workers.clouds.driver import DriverError, Refused
from workers.placement.offer import Offer
from workers.placement.refusal_codes import classify
from workers.placement.refusals import Refusal, Scope

UNAUTHENTICATED = 401
NOT_FOUND = 404
CONFLICT = 409
PRECONDITION_FAILED = 412
TOO_MANY = 429
SERVER_ERROR = 500

LOGIN = (
    "Run `gcloud auth application-default login`, or renew the key in the file that GOOGLE_APPLICATION_CREDENTIALS "
    "names, where `mixtral-bot worker` runs"
)

MENDS = {
    "authError": LOGIN,
    "forbidden": "Give the account roles/compute.instanceAdmin.v1 and roles/compute.securityAdmin in {project}",
    "accessNotConfigured": "Run `gcloud services enable compute.googleapis.com --project {project}`",
    "BILLING_DISABLED": "Link a billing account to {project} in the Google Cloud console",
    "projectNotFound": "Set GOOGLE_CLOUD_PROJECT to the id of a project that these credentials can see, not {project}",
    "networkNotFound": "Run `gcloud compute networks create default --project {project}`",
    "zoneNotFound": "Correct the zone in the price table, or the recipe's infra, region and zone",
    "regionNotFound": "Correct the region in the price table, or the recipe's infra, region and zone",
    "QUOTA_EXCEEDED": "Ask for more at https://console.cloud.google.com/iam-admin/quotas?project={project}",
    "GPUS_ALL_REGIONS": "Ask for more GPUS_ALL_REGIONS at https://console.cloud.google.com/iam-admin/quotas?project={project}",
}

SAME_AS = {
    "required": "authError",
    "SERVICE_DISABLED": "accessNotConfigured",
    "PERMISSION_DENIED": "forbidden",
    "IAM_PERMISSION_DENIED": "forbidden",
    "CONSUMER_INVALID": "projectNotFound",
    "quotaExceeded": "QUOTA_EXCEEDED",
}

# What is missing, or unknown, is told by the text alone.
MISSING = (
    (re.compile(r"'projects/[^/']+' was not found|[Pp]roject .{1,80} not found|Unknown project"), "projectNotFound"),
    (re.compile(r"/zones/[^/']+' was not found|Unknown zone"), "zoneNotFound"),
    (re.compile(r"/regions/[^/']+' was not found|Unknown region"), "regionNotFound"),
    (re.compile(r"/networks/[^/']+' was not found"), "networkNotFound"),
)

WIDEST_FIRST = (Scope.CLOUD, Scope.GPU, Scope.REGION, Scope.BACK_OFF, Scope.BUG, Scope.ZONE)
SUMMARY = "VM_MIN_COUNT_NOT_REACHED"
"""Comes with every `bulkInsert` that made nothing, and says no more than that."""


class CloudSaid(DriverError):
    """The cloud answered a call with an error: `code` as in its own tables, `text` in its own words."""

    def __init__(self, project: str, code: str, text: str, status: int) -> None:
        super().__init__(_sentence(project, code, f"GCP said of {project}: {code}: {text.rstrip('.')}"))
        self.project = project
        self.code = code
        self.text = text
        self.status = status


def from_sdk(project: str, error: Any) -> CloudSaid:
    """The SDK's exception for an HTTP answer of 400 and above, in our terms."""
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
    return CloudSaid(project, _missing(text) or code, text, status)


def _missing(text: str) -> str | None:
    return next((code for pattern, code in MISSING if pattern.search(text)), None)


def no(said: CloudSaid, offers: tuple[Offer, ...]) -> DriverError | Refused:
    """What a failed call means for `offers`: a refusal, unless nobody can know whether it had an effect."""
    return said if said.status >= SERVER_ERROR else refused(said, offers)


def refused(said: CloudSaid, offers: tuple[Offer, ...]) -> Refused:
    """A call's error as the refusal that it is of all of `offers`."""
    refusal = classify("gcp", said.code, said.text, offers)
    refusal = replace(refusal, sentence=_sentence(said.project, said.code, refusal.sentence))
    return Refused(refusal.sentence, code=refusal.code, scope=refusal.scope, refusals=(refusal,))


def refused_by(
    project: str, errors: list[tuple[str, str]], offers: tuple[Offer, ...], *, plain: str | None = None
) -> Refused:
    """An operation's errors, (code, text) each, as one refusal that tells what was said of which of `offers`.

    `plain` is the cause for people, where it is known better than by the code.
    """
    telling = [error for error in errors if error[0] != SUMMARY] or errors
    refusals = tuple(_refusal(project, code, text, offers, plain) for code, text in telling)
    worst = min(refusals, key=lambda refusal: WIDEST_FIRST.index(refusal.scope))
    unsaid = tuple(offer for offer in offers if not any(offer in refusal.offers for refusal in refusals))
    if unsaid:  # nothing was made of them either
        refusals = tuple(replace(r, offers=(*r.offers, *unsaid)) if r is worst else r for r in refusals)
    return Refused(worst.sentence, code=worst.code, scope=worst.scope, refusals=refusals)


def _refusal(project: str, code: str, text: str, offers: tuple[Offer, ...], plain: str | None) -> Refusal:
    """An error that names zones is about these zones."""
    code = SAME_AS.get(code, code)
    named = tuple(offer for offer in offers if re.search(rf"zones/{re.escape(offer.zone)}\b", text))
    refusal = classify("gcp", code, text, named or offers)
    return replace(refusal, sentence=_sentence(project, code, plain or refusal.sentence))


def _sentence(project: str, code: str, cause: str) -> str:
    """Cause and mend, without a full stop."""
    mend = MENDS.get(code)
    return f"{cause}. {mend.format(project=project)}" if mend else cause
