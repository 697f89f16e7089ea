"""Launch templates. They contain secrets in their user data, so they are deleted after the launch call."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field

from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import AwsError
from workers.clouds.driver import DriverError, Refused
from workers.machines import MachineRequest, Token
from workers.placement.refusals import Scope

LEFT_OVER_AFTER = timedelta(minutes=15)
"""Age from which a template counts as left over by a crash. A launch call takes at most a minute."""
REAP_EVERY = timedelta(minutes=10)
FINISHED_WITHIN = 10.0
"""Seconds that the end of a search waits for the deletion of its templates. One that takes longer is reaped."""

logger = logging.getLogger(__name__)


class _Ahead(Struct, kw_only=True):
    """A template that is made before its request. The lock of Templates decides between `begun` and `abandoned`."""

    region: str
    fingerprint: str
    """Of the request: another one with the same token does not use it."""
    begun: bool = False
    """Whether the call that makes it may have been made."""
    abandoned: bool = False
    made: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class Templates:
    """Makes templates before launch calls and deletes them afterwards, also those that remain after a crash."""

    def __init__(self, api: AwsClient) -> None:
        self._api = api
        self._reaped_at = float("-inf")
        self._deleting: list[threading.Thread] = []
        self._ahead: dict[Token, _Ahead] = {}
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

    def delete_later(self, region: str, name: str, *, after: threading.Event | None = None) -> None:
        """Delete a template in a thread, because nothing waits for it. `finish` waits."""

        def delete() -> None:
            if after is not None:
                after.wait()
            self.delete(region, name)

        thread = threading.Thread(target=delete, name="template", daemon=True)
        with self._lock:
            thread.start()
            self._deleting = [one for one in self._deleting if one.is_alive()] + [thread]

    def make_ahead(self, region: str, request: MachineRequest, data: Callable[[], dict[str, Any]]) -> None:
        """Make the template of a request that may follow, in a thread. `data` returns what `make` takes, and may raise.

        A failure is logged: the request makes the template itself.
        """
        ahead = _Ahead(region=region, fingerprint=aws_fleet.fingerprint(request))
        with self._lock:
            if request.token in self._ahead:
                return
            self._ahead[request.token] = ahead
        threading.Thread(
            target=self._make_ahead, args=(ahead, request, data), name=f"ahead {region}", daemon=True
        ).start()

    def _make_ahead(self, ahead: _Ahead, request: MachineRequest, data: Callable[[], dict[str, Any]]) -> None:
        try:
            found = data()
            with self._lock:
                ahead.begun = not ahead.abandoned
            if ahead.begun:
                self.make(ahead.region, request, found)
                ahead.made = True
        except Exception as error:  # noqa: BLE001 - nothing depends on it
            logger.info("the launch template of %s is not made ahead: %r", request.token, error)
        finally:
            ahead.ended.set()

    def is_made(self, request: MachineRequest) -> bool:
        """Whether `make_ahead` has made this request's template; waits until that has ended."""
        with self._lock:
            ahead = self._ahead.pop(request.token, None)
        if ahead is None or ahead.fingerprint != aws_fleet.fingerprint(request):
            return False
        ahead.ended.wait()
        return ahead.made

    def finish(self) -> None:
        """Delete the templates that were made ahead and not used; wait for deletions, at most FINISHED_WITHIN."""
        with self._lock:
            unused, self._ahead = self._ahead, {}
            for ahead in unused.values():
                ahead.abandoned = True
        for token, ahead in unused.items():
            if ahead.begun:
                self.delete_later(ahead.region, aws_fleet.template_name(token), after=ahead.ended)
        until = time.monotonic() + FINISHED_WITHIN
        with self._lock:
            deleting = tuple(self._deleting)
        for thread in deleting:
            thread.join(max(until - time.monotonic(), 0.0))

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
