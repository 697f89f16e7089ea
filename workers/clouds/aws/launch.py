"""One launch: checks and preparation, then one CreateFleet call."""

import threading
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from workers.clouds.admitted import admitted
from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws import instance as aws_instance
from workers.clouds.aws.client import AwsClient, RegionError
from workers.clouds.aws.errors import AwsError, refusal, refused, refused_by
from workers.clouds.aws.groundwork import Groundwork, hopeless
from workers.clouds.aws.network import Group
from workers.clouds.aws.regions import Prepared, RegionResources, Regions
from workers.clouds.aws.templates import Templates, mismatch
from workers.clouds.cidrs import CIDRS_MEND, CidrsError
from workers.clouds.driver import Ahead, DriverError, Refused
from workers.machines import MachineRequest, Token
from workers.placement.offer import Offer
from workers.placement.refusal_codes import AWS, NOT_VISIBLE, QUOTA
from workers.placement.refusals import Refusal, Scope
from workers.serving.bootstrap import user_data
from workers.serving.errors import ServingError

SETTLES_WITHIN = timedelta(seconds=90)  # maximum wait for an address
LOOK_EVERY = timedelta(seconds=0.1)  # first interval; increases to the next one
LOOK_AT_MOST_EVERY = timedelta(seconds=2)
MAX_PORT = 65535
VISIBLE_AFTER = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.0, 4.0)
"""Pauses in seconds: EC2 may neither find a new group or template nor list a new machine for some seconds."""
NETWORK_CHANGED = (
    *("InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound"),
    *("InvalidSubnetID.NotFound", "InvalidSubnet.NotFound"),
)


class FleetLaunch:
    """Launches machines. Repeated calls for the same request return the same machine."""

    def __init__(self, api: AwsClient, environ: Mapping[str, str]) -> None:
        self._regions = Regions(api)
        self.network = self._regions.network
        self._api = api
        self._environ = environ
        self._templates = Templates(api)
        self._groundwork: Groundwork | None = None
        self._prepared_for = ""
        self._expected: dict[Token, Ahead] = {}
        self._lock = threading.Lock()
        """Of the three above: several replicas may be requested at once."""

    def expect(self, request: MachineRequest, ahead: Ahead) -> None:
        """Prepare what follows a refusal of `request` while that is requested, as `_prepared` says."""
        with self._lock:
            self._expected[request.token] = ahead

    def hopeless(self, request: MachineRequest, offers: Iterable[Offer]) -> tuple[Refusal, ...]:
        """Do the groundwork of this request for other offers, in all their regions at once.

        Returns why no launch can succeed in some of the regions.
        """
        return self._groundwork_for(request).hopeless(offers)

    def _groundwork_for(self, request: MachineRequest) -> Groundwork:
        with self._lock:
            if self._groundwork is None or self._prepared_for != request.deployment:
                self._prepared_for = request.deployment
                self._groundwork = Groundwork(lambda those: self._groundwork_of(request, those))
            return self._groundwork

    def _groundwork_of(self, request: MachineRequest, offers: tuple[Offer, ...]) -> tuple[Refusal, ...]:
        region = offers[0].region
        try:
            found = self._regions.prepare(replace(request, offers=offers), admitted(self._environ))
            if found.resources is not None:
                found.resources.group.opened.result()
        except RegionError as error:
            return (_refusal(f"{error}", "NoSuchRegion", Scope.REGION, offers),)
        except AwsError as error:
            refused_for = refusal(region, error.code, error.text, offers)
            return () if error.uncertain else hopeless((refused_for,))
        except (DriverError, CidrsError):
            return ()  # only a launch shows what it means
        return hopeless(found.too_small)

    def __call__(self, request: MachineRequest, secrets: Mapping[str, str]) -> Any:
        """EC2's description of the instance. Raises Refused, DriverError."""
        region = request.offers[0].region
        # There is a machine now, so errors from `settled` are not refusals.
        instance = self.settled(region, self._made(request, secrets))
        if aws_instance.tag(instance, aws_fleet.TAG_REQUEST) != aws_fleet.fingerprint(request):
            raise mismatch(request)
        if aws_instance.never_started(instance):
            text = "AWS had no capacity left when it started the machine"
            raise refused(AwsError(region, "InsufficientInstanceCapacity", text, 500), request.offers)
        return instance

    def _made(self, request: MachineRequest, secrets: Mapping[str, str]) -> str:
        """The id of the instance. Raises Refused, DriverError."""
        try:
            return self._requested(request, secrets)
        except RegionError as error:
            found = _refusal(f"{error}", "NoSuchRegion", Scope.REGION, request.offers)
            raise refused_by((found,), request.offers) from error
        except AwsError as error:
            if error.uncertain:
                raise  # it may have had an effect
            if error.code in NETWORK_CHANGED:
                self.network.forget(request.offers[0].region)
            raise refused(error, request.offers) from error

    def finish(self) -> None:
        """Wait until the templates are deleted."""
        self._templates.finish()

    def _go_ahead(self, request: MachineRequest, ahead: Ahead) -> None:
        """Begin the groundwork of the ladder, and make the template of the next request, so that it is one call."""
        self._groundwork_for(request).begin(ahead.ladder)
        following = ahead.request
        if following is not None:
            data = partial(self._template_ahead, following, ahead.secrets)
            self._templates.make_ahead(following.offers[0].region, following, data)

    def _template_ahead(self, request: MachineRequest, secrets: Mapping[str, str]) -> dict[str, Any]:
        """Raises Refused, ServingError, CidrsError, DriverError."""
        found = self._regions.prepare(request, admitted(self._environ))
        if found.resources is None:
            raise refused_by(found.too_small, request.offers)
        return _template(request, found.resources, user_data(request, secrets))

    def settled(self, region: str, instance_id: str) -> Any:
        """Wait until the instance has its address or has ended. Raises AwsError, DriverError."""
        give_up_at = time.monotonic() + SETTLES_WITHIN.total_seconds()
        pause = LOOK_EVERY
        while True:
            instance = self._described(region, instance_id)
            if instance is not None and aws_instance.is_settled(instance):
                return instance
            if time.monotonic() > give_up_at:
                raise DriverError(
                    f"AWS has been starting {instance_id} for {SETTLES_WITHIN}; it will be checked again."
                )
            time.sleep(pause.total_seconds())
            pause = min(pause * 1.5, LOOK_AT_MOST_EVERY)

    def _requested(self, request: MachineRequest, secrets: Mapping[str, str]) -> str:
        with self._lock:
            ahead = self._expected.pop(request.token, None)
        sources = self._check(request)
        try:
            script = user_data(request, secrets)
        except ServingError as error:
            raise Refused(str(error), code="NotServable", scope=Scope.BUG) from error
        if self._groundwork is not None:
            self._groundwork.wait_for(request.offers[0].region)
        found = self._prepared(request, sources, ahead)
        if found.resources is None:
            raise refused_by(found.too_small, request.offers)
        before, subnets = found.too_small, found.resources.places.subnets
        placed = tuple(offer for offer in found.offers if offer.zone in subnets)
        if unplaced := tuple(offer for offer in found.offers if offer not in placed):
            before = (*before, aws_fleet.no_subnet(unplaced))
        if not placed:
            raise refused_by(before, request.offers)
        return self._fleet(request, placed, found.resources, script, before=before)

    def _check(self, request: MachineRequest) -> tuple[str, ...]:
        """The networks that may reach the machine. Raises Refused for requests that no call can satisfy."""
        image = request.boot.image or ""
        if image and not image.startswith(("ami-", "docker:")):
            sentence = f'"{image}" is not an image of AWS. Set image_id to ami-… or docker:…, or remove it'
            raise Refused(sentence, code="ImageOfAnotherCloud", scope=Scope.CLOUD)
        port = request.boot.port
        if not 1 <= port <= MAX_PORT:
            raise Refused(
                f"{port} is not a port: ports are 1 to {MAX_PORT}. Correct `ports` in the recipe",
                code="PortOutOfRange",
                scope=Scope.CLOUD,
            )
        if len({(offer.region, offer.spot) for offer in request.offers}) > 1:
            sentence = "one call to AWS can have offers of one region and one lifecycle only"
            raise Refused(sentence, code="MixedBatch", scope=Scope.BUG)
        try:
            return admitted(self._environ)
        except CidrsError as error:
            raise Refused(f"{error}. {CIDRS_MEND}", code="NoCidrs", scope=Scope.CLOUD) from error

    def _prepared(self, request: MachineRequest, sources: tuple[str, ...], ahead: Ahead | None) -> Prepared:
        """What follows is prepared beside the request after a refusal, or if AWS is slow.

        Otherwise a launch that is not refused makes no call in another region.
        """
        if ahead is None:
            return self._regions.prepare(request, sources)
        go_ahead = partial(self._go_ahead, request, ahead)
        if not self._groundwork_for(request).has_begun:
            return self._regions.prepare(request, sources, if_slow=go_ahead)
        go_ahead()
        return self._regions.prepare(request, sources)

    def _fleet(
        self,
        request: MachineRequest,
        offers: tuple[Offer, ...],
        resources: RegionResources,
        script: str,
        before: tuple[Refusal, ...],
    ) -> str:
        """Id of the instance. Raises Refused, which includes the refusals in `before`, AwsError, DriverError."""
        region = offers[0].region
        data = _template(request, resources, script)
        fields = aws_fleet.fleet(request, offers, resources.places.subnets)
        answer = self._create_fleet(region, request, data, fields, resources.group)
        instance_id = self._made_before(region, request) if aws_fleet.is_empty(answer) else aws_fleet.launched(answer)
        if instance_id is not None:
            return instance_id
        refusals = aws_fleet.refusals(answer, offers, resources.places.subnets, resources.places.zones)
        if any(one.code in NETWORK_CHANGED for one in refusals):
            self.network.forget(region)
        raise refused_by((*refusals, *before), request.offers)

    def _create_fleet(
        self, region: str, request: MachineRequest, data: dict[str, Any], fields: dict[str, Any], group: Group
    ) -> Any:
        """The fleet's answer. The call is repeated while EC2 does not find the group or the template.

        EC2 returns the same errors again for the same ClientToken, so the next call has another one, derived from the
        request's token. A replay makes the same calls, and gets the machine that one of them made. After an exception
        EC2 has not stored the token, so it stays. Another worker may delete the template, so it is made each time.
        """
        repeat = 0
        made = self._templates.is_made(request)
        try:
            for pause in (*VISIBLE_AFTER, None):
                if not made:
                    self._templates.make(region, request, data)
                made = False
                group.opened.result()
                fields["ClientToken"] = aws_fleet.client_token(request.token, repeat)
                try:
                    answer = self._api.launch(region, "create_fleet", **fields)
                except AwsError as error:
                    if pause is None or AWS.get(error.code) is not NOT_VISIBLE:
                        raise
                else:
                    if pause is None or not aws_fleet.not_visible(answer):
                        return answer
                    repeat += 1
                time.sleep(pause)
        finally:
            self._templates.delete_later(region, aws_fleet.template_name(request.token))
        raise AssertionError  # the last call has returned or raised

    def _made_before(self, region: str, request: MachineRequest) -> str | None:
        """Id of the token's machine, or None. EC2 may answer a repeated call without the machine of the first one.

        Raises DriverError, never AwsError: that would be a refusal, although there may be a machine.
        """
        filters = [{"Name": f"tag:{aws_fleet.TAG_TOKEN}", "Values": [request.token[: aws_fleet.MAX_TAG]]}]
        for pause in (*VISIBLE_AFTER, 0):
            try:
                found = self._api.pages(region, "describe_instances", "Reservations", Filters=filters)
            except AwsError as error:
                raise DriverError(f"Whether {request.token} has a machine is unknown. {error}") from error
            if made := [instance for reservation in found for instance in reservation["Instances"]]:
                return str(min(made, key=lambda one: aws_instance.state(one) in aws_instance.ENDED)["InstanceId"])
            time.sleep(pause)
        return None

    def _described(self, region: str, instance_id: str) -> Any | None:
        """The instance; None if EC2 does not list it yet, which may take some seconds."""
        try:
            answer = self._api.call("ec2", region, "describe_instances", InstanceIds=[instance_id])
        except AwsError as error:
            if error.code == "InvalidInstanceID.NotFound":
                return None
            raise
        found = [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]
        return found[0] if found else None


def _template(request: MachineRequest, resources: RegionResources, script: str) -> dict[str, Any]:
    return aws_fleet.template(request, image=resources.image, group=resources.group.id, user_data=script)


def _refusal(sentence: str, code: str, scope: Scope, offers: tuple[Offer, ...]) -> Refusal:
    return Refusal(offers=offers, sentence=sentence, code=code, scope=scope, lasts=QUOTA.lasts)
