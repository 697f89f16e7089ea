"""The read-only checks of GCP for `mixtral-bot check`: identity, permissions, quotas, regions, network."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from workers.clouds.driver import DriverError
from workers.clouds.findings import CREDENTIALS, QUOTA, Finding, Need, listed, on_quota
from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.errors import GcpError
from workers.clouds.gcp.instance import INSTALLATION
from workers.clouds.gcp.quota import GLOBAL
from workers.machines import Unlisted

ABOUT = "GCP"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PROJECTS = "https://cloudresourcemanager.googleapis.com"
NO_CONNECTION = re.compile(r"\[Errno -?\d+\] ([A-Z][A-Za-z ]+)")
ANSWERS_WITHIN = 15  # seconds
OK = 200

PERMISSIONS = (
    *("compute.instances.create", "compute.instances.delete", "compute.instances.get", "compute.instances.list"),
    *("compute.instances.setMetadata", "compute.instances.setLabels", "compute.instances.setTags"),
    *("compute.instances.getSerialPortOutput", "compute.disks.create", "compute.subnetworks.use"),
    *("compute.subnetworks.useExternalIp", "compute.firewalls.create", "compute.firewalls.get"),
    *("compute.firewalls.update", "compute.networks.updatePolicy", "compute.projects.get", "compute.regions.get"),
    *("compute.disks.setLabels", "compute.networks.get", "compute.subnetworks.get"),
    *("compute.globalOperations.get", "compute.regionOperations.get"),
    *("compute.zoneOperations.get", "compute.zoneOperations.list", "compute.machineTypes.list"),
)
ROLES = "roles/compute.instanceAdmin.v1 and roles/compute.securityAdmin"


def questions(environ: Mapping[str, str], needed: Sequence[Need]) -> dict[str, Callable[[], list[Finding]]]:
    """Checks that can run concurrently, by subject. `needed`: the needs of GCP. They do not raise DriverError."""
    project = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("GCLOUD_PROJECT") or ""
    endpoint = environ.get("MIXTRAL_GCE_ENDPOINT") or None
    api = partial(GcpClient, project, endpoint)  # each check has its own client, because they run in several threads
    checks: dict[str, Callable[[GcpClient], list[Finding]]] = {
        CREDENTIALS: partial(_project, endpoint=endpoint),
        "permissions": partial(_permissions, endpoint=endpoint),
        "network": _network,
        "zones": _zones,
        "quotas": partial(_quotas, needed=needed),
    }
    return {what: partial(guarded, what, question, api) for what, question in checks.items()}


def guarded(what: str, question: Callable[[GcpClient], list[Finding]], api: Callable[[], GcpClient]) -> list[Finding]:
    """The findings of a check; an error of GCP becomes a finding."""
    try:
        return question(api())
    except DriverError as error:
        cause, _, mend = str(error).rstrip(".").partition(". ")
        if short := NO_CONNECTION.search(str(error)):
            cause, mend = f"Compute Engine cannot be reached: {short[1]}", "check the network and MIXTRAL_GCE_ENDPOINT"
        works = False if what == CREDENTIALS else None
        says = cause if what == CREDENTIALS else f"could not be checked: {cause}"
        return [Finding(about=ABOUT, what=what, works=works, says=says, mend=mend)]


def _project(api: GcpClient, *, endpoint: str | None) -> list[Finding]:
    api.call("ProjectsClient", "get")
    who = "a stand-in that needs none" if endpoint else _who()
    says = f"{who}, project {api.project}, Compute Engine enabled"
    return [Finding(about=ABOUT, what=CREDENTIALS, works=True, says=says)]


def _who() -> str:
    import google.auth  # noqa: PLC0415 - too slow for every command

    found, _ = google.auth.default(scopes=[SCOPE])
    return str(getattr(found, "service_account_email", "") or "your own account")


def _permissions(api: GcpClient, *, endpoint: str | None) -> list[Finding]:
    """Whether the credentials have the permissions of a launch, according to the project."""
    status, held = _held(api.project, endpoint)
    if status != OK:
        says = f"could not be checked: {'the stand-in' if endpoint else 'Resource Manager'} answers {status}"
        mend = "" if endpoint else f"run `gcloud services enable {PROJECTS.split('//')[1]} --project {api.project}`"
        return [Finding(about=ABOUT, what="permissions", works=None, says=says, mend=mend)]
    lacking = [permission for permission in PERMISSIONS if permission not in held]
    if not lacking:
        says = f"all {len(PERMISSIONS)} that a launch needs"
        return [Finding(about=ABOUT, what="permissions", works=True, says=says)]
    mend = f"grant the account {ROLES} in {api.project}"
    return [Finding(about=ABOUT, what="permissions", works=False, says=f"lacks {', '.join(lacking)}", mend=mend)]


def _held(project: str, endpoint: str | None) -> tuple[int, list[str]]:
    """HTTP status, and those of PERMISSIONS that the credentials have. Raises DriverError."""
    import google.auth  # noqa: PLC0415 - as above
    import requests  # noqa: PLC0415 - as above
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - as above
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - as above
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415 - as above

    anonymous: Any = AnonymousCredentials  # the library's functions have no types
    session_of: Any = AuthorizedSession
    url = f"{(endpoint or PROJECTS).rstrip('/')}/v1/projects/{project}:testIamPermissions"
    try:
        credentials: Any = anonymous() if endpoint else google.auth.default(scopes=[SCOPE])[0]
        with session_of(credentials) as session:
            answer = session.post(url, json={"permissions": PERMISSIONS}, timeout=ANSWERS_WITHIN)
        return answer.status_code, list(answer.json().get("permissions", ())) if answer.status_code == OK else []
    except (GoogleAuthError, requests.RequestException, ValueError) as error:
        raise DriverError(f"{' '.join(str(error).split())}. Check the network") from error


def _network(api: GcpClient) -> list[Finding]:
    try:
        api.call("NetworksClient", "get", network="default")
    except GcpError as error:
        if error.code != "networkNotFound":
            raise
    else:
        return [Finding(about=ABOUT, what="network", works=True, says="the default network exists")]
    says = f"{api.project} has no network called default"
    mend = f"run `gcloud compute networks create default --project {api.project}`"
    return [Finding(about=ABOUT, what="network", works=False, says=says, mend=mend)]


def _zones(api: GcpClient) -> list[Finding]:
    """List the instances of all zones once."""
    every = api.instances(f'labels.{INSTALLATION} = "none"')
    finding = partial(Finding, about=ABOUT, what="regions")
    mend = "read https://status.cloud.google.com; machines there are neither listed nor extended meanwhile"
    silent = {one.place: one.why.rstrip(".") for one in every if isinstance(one, Unlisted)}
    if not silent:
        return [finding(works=True, says="the zones list their instances")]
    return [finding(works=None, says=f"{place} cannot be listed: {why}", mend=mend) for place, why in silent.items()]


def _quotas(api: GcpClient, *, needed: Sequence[Need]) -> list[Finding]:
    regions = list(dict.fromkeys(need.region for need in needed))
    found: dict[str, dict[str, float]] = {}
    down: list[str] = []
    for region in regions:
        try:
            answer = api.call("RegionsClient", "get", region=region)
        except GcpError as error:
            if error.code != "regionNotFound":
                raise
            down.append(region)
            continue
        if answer.status == "DOWN":
            down.append(region)
        found[region] = {quota.metric: quota.limit for quota in answer.quotas}
    whole = {quota.metric: quota.limit for quota in api.call("ProjectsClient", "get").quotas}
    mend = f"request more at https://console.cloud.google.com/iam-admin/quotas?project={api.project}"
    return [
        _on_regions(regions, down),
        *_on_all_regions(whole, needed, mend),
        *(_on_quota(metric, needed, found, mend) for metric in dict.fromkeys(n.quota for n in needed if n.quota)),
    ]


def _on_regions(regions: Sequence[str], down: Sequence[str]) -> Finding:
    if not down:
        says = f"all {len(regions)} regions of the price table are up"
        return Finding(about=ABOUT, what="regions", works=True, says=says)
    says = f"{len(regions) - len(down)} of {len(regions)} in the price table are up, not {listed(down, 'regions')}"
    mend = "correct the price table, or run `mixtral-bot prices`"
    return Finding(about=ABOUT, what="regions", works=len(down) < len(regions), says=says, mend=mend)


def _on_all_regions(whole: Mapping[str, float], needed: Sequence[Need], mend: str) -> list[Finding]:
    """The limit for all on-demand GPUs of the project, in all regions; empty if it suffices."""
    least = min((need.amount for need in needed if not need.spot), default=0)
    if GLOBAL not in whole or not 0 <= whole[GLOBAL] < least:
        return []
    says = f"{GLOBAL} is {whole[GLOBAL]:g}, and the smallest machine on demand has {least} GPUs"
    return [Finding(about=ABOUT, what=QUOTA, works=False, says=says, mend=mend)]


def _on_quota(metric: str, needed: Sequence[Need], found: Mapping[str, Mapping[str, float]], mend: str) -> Finding:
    limits = {region: quotas[metric] for region, quotas in found.items() if metric in quotas}
    needs = [need for need in needed if need.quota == metric]
    return on_quota(ABOUT, "GPUs", needs, limits, mend.replace("more", f"more {metric}", 1))
