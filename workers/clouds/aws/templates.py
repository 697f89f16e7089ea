"""Launch templates: each holds one attempt's user data, secrets among it, and must not outlive its call."""

import contextlib
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import AwsSaid
from workers.clouds.driver import DriverError, Refused
from workers.machines import MachineRequest
from workers.placement.refusals import Scope

LEFT_OVER_AFTER = timedelta(minutes=15)
"""A call takes a minute at most; its replay makes its own template."""
REAP_EVERY = timedelta(minutes=10)

logger = logging.getLogger(__name__)


class Templates:
    """Made before a launch call, deleted after it; what a crash left behind is reaped."""

    def __init__(self, api: AwsClient) -> None:
        self._api = api
        self._reaped_at = float("-inf")

    def make(self, region: str, request: MachineRequest, data: dict[str, Any]) -> None:
        """Have the request's template; one that is there already must be for the same request. Raises Refused too."""
        name = aws_fleet.template_name(request.token)
        kinds = [{"ResourceType": "launch-template", "Tags": aws_fleet.tags(request)}]
        try:
            asked = {"LaunchTemplateName": name, "LaunchTemplateData": data, "TagSpecifications": kinds}
            self._api.call("ec2", region, "create_launch_template", **asked)
        except AwsSaid as said:
            if said.code != "InvalidLaunchTemplateName.AlreadyExistsException":
                raise
            self._check(region, name, request)

    def delete(self, region: str, name: str) -> None:
        """Best effort: what stays is reaped."""
        try:
            self._api.call("ec2", region, "delete_launch_template", LaunchTemplateName=name)
        except DriverError as error:
            if not is_missing(error):
                logger.warning("the launch template %s in %s stays for a while: %s", name, region, error)

    def reap(self, installation: str, regions: Iterable[str]) -> None:
        """Delete what crashes left behind, at most every ten minutes."""
        if time.monotonic() - self._reaped_at < REAP_EVERY.total_seconds():
            return
        self._reaped_at = time.monotonic()
        with contextlib.suppress(DriverError):  # looked at again in ten minutes
            self._api.everywhere(regions, lambda region: self._reap(installation, region))

    def _reap(self, installation: str, region: str) -> None:
        filters = [{"Name": f"tag:{aws_fleet.TAG_INSTALLATION}", "Values": [installation]}]
        found = self._api.pages(region, "describe_launch_templates", "LaunchTemplates", Filters=filters)
        for one in found:
            if datetime.now(UTC) - one["CreateTime"] > LEFT_OVER_AFTER:
                self.delete(region, one["LaunchTemplateName"])

    def _check(self, region: str, name: str, request: MachineRequest) -> None:
        try:
            answer = self._api.call("ec2", region, "describe_launch_templates", LaunchTemplateNames=[name])
        except AwsSaid as said:
            if is_missing(said):
                return  # deleted meanwhile, by who has made the machine meanwhile
            raise
        for found in answer["LaunchTemplates"]:
            tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
            if tags.get(aws_fleet.TAG_REQUEST) != aws_fleet.fingerprint(request):
                raise mismatch(request)


def is_missing(error: DriverError) -> bool:
    """Whether AWS said that there is no such launch template."""
    return isinstance(error, AwsSaid) and "LaunchTemplate" in error.code and "NotFound" in error.code


def mismatch(request: MachineRequest) -> Refused:
    sentence = f"the token {request.token} was used for another request already"
    return Refused(sentence, code="IdempotentParameterMismatch", scope=Scope.BUG)
