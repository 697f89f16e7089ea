"""Launch templates. They contain secrets in their user data, so they are deleted after the launch call."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import AwsError
from workers.clouds.driver import DriverError, Refused
from workers.machines import MachineRequest, Token
from workers.placement.refusals import Scope

LEFT_OVER_AFTER = timedelta(minutes=15)
"""Age from which a template counts as left over by a crash. A launch call takes at most a minute."""
REAP_EVERY = timedelta(minutes=10)
MAX_AHEAD = 8  # templates that are made ahead at once

logger = logging.getLogger(__name__)


class Templates:
    """Makes templates before launch calls and deletes them afterwards, also those that remain after a crash."""

    def __init__(self, api: AwsClient) -> None:
        self._api = api
        self._reaped_at = float("-inf")
        self._deleting: list[threading.Thread] = []
        self._ahead: dict[Token, tuple[str, Future[None]]] = {}
        """By token: the region of a template that is made ahead, and the call that makes it."""
        self._threads = ThreadPoolExecutor(MAX_AHEAD, thread_name_prefix="template")
        self._lock = threading.Lock()
        """Of `_deleting` and `_ahead`: several launches may begin and end at once."""

    def make(self, region: str, request: MachineRequest, data: dict[str, Any]) -> None:
        """Make the template, unless it exists. Raises Refused if that is another request's, AwsError, DriverError."""
        name = aws_fleet.template_name(request.token)
        kinds = [{"ResourceType": "launch-template", "Tags": aws_fleet.tags(request)}]
        try:
            fields = {"LaunchTemplateName": name, "LaunchTemplateData": data, "TagSpecifications": kinds}
            self._api.call("ec2", region, "create_launch_template", **fields)
        except AwsError as error:
            if error.code != "InvalidLaunchTemplateName.AlreadyExistsException":
                raise
            self._check(region, name, request)

    def delete(self, region: str, name: str) -> None:
        """Delete a template. Errors are logged: `reap` deletes it later."""
        try:
            self._api.call("ec2", region, "delete_launch_template", LaunchTemplateName=name)
        except DriverError as error:
            if not is_missing(error):
                logger.warning("the launch template %s in %s will be deleted later: %s", name, region, error)

    def delete_later(self, region: str, name: str) -> None:
        """Delete a template in a thread, because nothing waits for it. `finish` waits."""
        thread = threading.Thread(target=self.delete, args=(region, name), name="template", daemon=True)
        with self._lock:
            thread.start()
            self._deleting = [one for one in self._deleting if one.is_alive()] + [thread]

    def make_ahead(self, region: str, token: Token, make: Callable[[], None]) -> None:
        """Make the template of a request that may follow, in a thread. `make` calls `Templates.make`."""
        with self._lock:
            if token not in self._ahead:
                self._ahead[token] = (region, self._threads.submit(make))

    def is_made(self, token: Token) -> bool:
        """Whether `make_ahead` has made the request's template; waits until it has ended."""
        with self._lock:
            _, made = self._ahead.pop(token, (None, None))
        if made is None:
            return False
        wait((made,))
        return made.exception() is None

    def finish(self) -> None:
        """Delete the templates that were made ahead and not used, and wait until none is being deleted."""
        with self._lock:
            unused, self._ahead = self._ahead, {}
        for token, (region, made) in unused.items():
            wait((made,))
            if not isinstance(made.exception(), Refused):
                self.delete_later(region, aws_fleet.template_name(token))
        with self._lock:
            deleting = tuple(self._deleting)
        for thread in deleting:
            thread.join()

    def reap(self, installation: str, regions: Iterable[str]) -> None:
        """Delete templates older than LEFT_OVER_AFTER, at most once in REAP_EVERY."""
        if time.monotonic() - self._reaped_at < REAP_EVERY.total_seconds():
            return
        self._reaped_at = time.monotonic()
        with contextlib.suppress(DriverError):  # repeated after REAP_EVERY
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
        except AwsError as error:
            if is_missing(error):
                return  # deleted by the worker that has made the machine
            raise
        for found in answer["LaunchTemplates"]:
            tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
            if tags.get(aws_fleet.TAG_REQUEST) != aws_fleet.fingerprint(request):
                raise mismatch(request)


def is_missing(error: DriverError) -> bool:
    """Whether the error is that the launch template does not exist."""
    return isinstance(error, AwsError) and "LaunchTemplate" in error.code and "NotFound" in error.code


def mismatch(request: MachineRequest) -> Refused:
    sentence = f"the token {request.token} was already used for another request"
    return Refused(sentence, code="IdempotentParameterMismatch", scope=Scope.BUG)
