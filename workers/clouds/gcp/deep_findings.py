"""The checks of GCP for `mixtral-bot check --deep`: image, driver, subnets, and the quotas beside those for GPUs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from workers.clouds.findings import Finding, Need, listed
from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.errors import NOT_FOUND, GcpError
from workers.clouds.gcp.findings import ABOUT, guarded
from workers.clouds.gcp.instance import IMAGE
from workers.clouds.nvidia_driver import driver_of, on_driver
from workers.machines import DISK_GIB

OTHER = "other quota"
BESIDE_GPUS = {"IN_USE_ADDRESSES": 1, "SSD_TOTAL_GB": DISK_GIB}
"""Quotas of a region that every machine uses, and how much of each."""


def questions(environ: Mapping[str, str], needed: Sequence[Need]) -> dict[str, Callable[[], list[Finding]]]:
    """Checks that can run concurrently, by subject. `needed`: the needs of GCP. They do not raise DriverError."""
    project = environ.get("GOOGLE_CLOUD_PROJECT") or environ.get("GCLOUD_PROJECT") or ""
    api = partial(GcpClient, project, environ.get("MIXTRAL_GCE_ENDPOINT") or None)
    regions = list(dict.fromkeys(need.region for need in needed))
    checks: dict[str, Callable[[GcpClient], list[Finding]]] = {
        "image": _image,
        "subnets": partial(_subnets, regions=regions),
        OTHER: partial(_quotas, regions=regions),
    }
    return {what: partial(guarded, what, question, api) for what, question in checks.items()}


def _image(api: GcpClient) -> list[Finding]:
    """Whether the image family resolves, and whether its driver serves the pinned vLLM."""
    parts = IMAGE.split("/")
    project, family = parts[1], parts[-1]
    mend = "set image_id in the recipes, or update mixtral-bot"
    try:
        found = api.call("ImagesClient", "get_from_family", project=project, family=family)
    except GcpError as error:
        if error.status != NOT_FOUND:
            raise
        says = f"the image family {family} of {project} does not exist"
        return [Finding(about=ABOUT, what="image", works=False, says=says, mend=mend)]
    says = f"{found.name}, {found.disk_size_gb} GB, from the family {family}"
    driver = driver_of(found.name) or driver_of(family)
    return [Finding(about=ABOUT, what="image", works=True, says=says), on_driver(ABOUT, found.name, driver, mend)]


def _subnets(api: GcpClient, *, regions: Sequence[str]) -> list[Finding]:
    """Whether the default network has a subnet in each region."""
    found = {r: api.call_if_found("SubnetworksClient", "get", region=r, subnetwork="default") for r in regions}
    lacking = [region for region, subnet in found.items() if subnet is None]
    finding = partial(Finding, about=ABOUT, what="subnets")
    if not lacking:
        return [finding(works=True, says=f"the default network has a subnet in {listed(regions, 'regions')}")]
    says = f"the default network has no subnet in {listed(lacking, 'regions')}"
    mend = f"run `gcloud compute networks subnets create default --network default --region {lacking[0]} --range …`"
    return [finding(works=len(lacking) < len(regions), says=says, mend=mend)]


def _quotas(api: GcpClient, *, regions: Sequence[str]) -> list[Finding]:
    """Whether what is left of the quotas for addresses and disks suffices for one machine, in each region."""
    short: dict[str, list[str]] = {}
    for region in regions:
        answer = api.call_if_found("RegionsClient", "get", region=region)
        for quota in answer.quotas if answer else ():
            needs = BESIDE_GPUS.get(quota.metric)
            if needs is not None and quota.limit - quota.usage < needs:
                short.setdefault(quota.metric, []).append(region)
    if not short:
        says = f"addresses and disks for one more machine in {listed(regions, 'regions')}"
        return [Finding(about=ABOUT, what=OTHER, works=True, says=says)]
    mend = f"request more at https://console.cloud.google.com/iam-admin/quotas?project={api.project}"
    return [
        Finding(
            about=ABOUT,
            what=OTHER,
            works=len(places) < len(regions),
            says=f"{metric}: less than the {BESIDE_GPUS[metric]} that a machine needs in {listed(places, 'regions')}",
            mend=mend,
        )
        for metric, places in short.items()
    ]
