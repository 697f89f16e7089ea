"""The checks of AWS for `mixtral-bot check --deep`: each region's image and subnets, and the role of spot machines."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import MENDS, AwsError
from workers.clouds.aws.findings import ABOUT, asked, guarded, usable
from workers.clouds.driver import DriverError
from workers.clouds.findings import Finding, Need, listed
from workers.clouds.nvidia_driver import driver_of, on_driver

IMAGE = "image"
SPOT_ROLE = "AWSServiceRoleForEC2Spot"
NO_ENTITY = ("NoSuchEntity", "NoSuchEntityException")


def questions(environ: Mapping[str, str], needed: Sequence[Need]) -> dict[str, Callable[[], list[Finding]]]:
    """Checks that can run concurrently, by subject. `needed`: the needs of AWS. They do not raise DriverError."""
    api = AwsClient(environ)
    checks: dict[str, Callable[[AwsClient, Sequence[Need]], list[Finding]]] = {
        IMAGE: _image,
        "subnets": _subnets,
        "spot role": _spot_role,
    }
    return {what: partial(guarded, what, partial(question, api, needed)) for what, question in checks.items()}


def _image(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    """The image of each region, as a launch would resolve it, and the driver in the first one."""
    regions = usable(api, needed)
    found = api.everywhere(regions, partial(asked, partial(_image_of, api)))
    missing = {region: image for region, image in found.items() if isinstance(image, DriverError)}
    images = [image for image in found.values() if not isinstance(image, DriverError)]
    finding = partial(Finding, about=ABOUT, what=IMAGE)
    if not images:
        says = next((str(error) for error in missing.values()), "no region is enabled").rstrip(".")
        return [finding(works=False, says=says, mend="set image_id (ami-…) in the recipes, or update mixtral-bot")]
    name, description = images[0]
    says = f"{name or aws_fleet.IMAGE} in {listed([r for r in found if r not in missing], 'regions')}"
    says += f"; not in {listed(list(missing), 'regions')}" if missing else ""
    mend = "set image_id in the recipes to an image with a newer driver"
    return [finding(works=True, says=says), on_driver(ABOUT, "the image", driver_of(f"{name} {description}"), mend)]


def _image_of(api: AwsClient, region: str) -> tuple[str, str]:
    """Name and description of the region's image; empty if EC2 does not describe it. Raises AwsError, DriverError."""
    id_ = api.call("ssm", region, "get_parameter", Name=aws_fleet.IMAGE)["Parameter"]["Value"]
    images = api.call("ec2", region, "describe_images", ImageIds=[id_])["Images"]
    if not images:
        raise AwsError(region, "InvalidAMIID.NotFound", f"{id_} does not exist", 400)
    return images[0].get("Name", ""), images[0].get("Description", "")


def _subnets(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    """Whether each region has a default subnet with a free address."""
    default = [{"Name": "default-for-az", "Values": ["true"]}]

    def of(region: str) -> list[Any]:
        return api.pages(region, "describe_subnets", "Subnets", Filters=default)

    found = api.everywhere(usable(api, needed), partial(asked, of))
    failed = [region for region, subnets in found.items() if isinstance(subnets, DriverError)]
    free = {
        region: sum(subnet["AvailableIpAddressCount"] > 0 for subnet in subnets)
        for region, subnets in found.items()
        if not isinstance(subnets, DriverError)
    }
    full = [region for region, count in free.items() if not count]
    says = (
        f"{sum(free.values())} default subnets with free addresses in {listed([r for r in free if free[r]], 'regions')}"
    )
    says += f"; none in {listed(full, 'regions')}" if full else ""
    says += f"; unknown in {listed(failed, 'regions')}" if failed else ""
    mend = f"run `aws ec2 create-default-subnet --availability-zone {full[0]}a`, or free addresses" if full else ""
    works = len(full) < len(free) if free else None
    return [Finding(about=ABOUT, what="subnets", works=works, says=says, mend=mend)]


def _spot_role(api: AwsClient, _needed: Sequence[Need]) -> list[Finding]:
    """Whether spot machines can be requested: the first request of an account creates the role, if it is permitted."""
    finding = partial(Finding, about=ABOUT, what="spot role")
    try:
        api.call("iam", api.home, "get_role", RoleName=SPOT_ROLE)
    except AwsError as error:
        if error.code not in NO_ENTITY:
            raise
        mend = MENDS["AuthFailure.ServiceLinkedRoleCreationNotPermitted"]
        # The role is needed by spot launches alone, so its absence does not prevent launches on demand.
        return [finding(works=None, says=f"the account has no role {SPOT_ROLE}, which spot machines need", mend=mend)]
    return [finding(works=True, says=f"{SPOT_ROLE} exists")]
