"""The actions of EC2 that moto does not have or implements wrongly; the others are moto's."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import convert_tag_spec
from msgspec import Struct

from workers.sandbox.ec2.catalog import zones
from workers.sandbox.ec2.cloud import Cloud
from workers.sandbox.ec2.lives import Pool

MAX_USER_DATA = 16384  # bytes, EC2's limit
IMAGE_GIB = 75
IMAGE_NAME = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20261101"
IMAGE_DESCRIPTION = "Supported EC2 instances: G4dn, G5, G6, G6e, P4d, P4de, P5."  # without the driver, as on EC2
STRATEGIES = {
    "on-demand": ("lowest-price", "prioritized"),
    "spot": ("price-capacity-optimized", "lowest-price", "capacity-optimized", "diversified"),
}


class _Choice(Struct, frozen=True, kw_only=True):
    """One override of a fleet's launch template."""

    pool: Pool
    override: Any
    """The override, as the request contains it."""
    template: Any
    name: str
    """The template's name."""
    data: Any
    """The template's data with the override applied."""

    def described(self) -> dict[str, Any]:
        overrides = dict(self.override) | {"AvailabilityZone": self.pool.name, "InstanceType": self.pool.type_}
        return {"LaunchTemplateSpecification": self.template, "Overrides": overrides}


class Actions(EC2Response):
    """One call of EC2. The caller holds the cloud's lock."""

    cloud: ClassVar[Cloud]

    def create_fleet(self) -> ActionResult:
        self.error_on_dryrun()
        if self._get_param("Type") != "instant":
            raise EC2ClientError("UnsupportedOperation", "The stand-in supports fleets of the type instant only.")
        return self._once("CreateFleet", lambda _: ActionResult(self._fleet()))

    def create_security_group(self) -> ActionResult:
        answer = super().create_security_group()
        made: Any = answer.result
        self.cloud.made(made["GroupId"])
        return answer

    def create_launch_template(self) -> ActionResult:
        answer = super().create_launch_template()
        self.cloud.made(self._get_param("LaunchTemplateName", ""))
        return answer

    def run_instances(self) -> ActionResult:
        self.error_on_dryrun()
        return self._once("RunInstances", self._run)

    def terminate_instances(self) -> ActionResult:
        self.error_on_dryrun()
        found = self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", []))
        ended = []
        for instance in found:
            before = {"Code": instance.state_code, "Name": instance.state}
            self.cloud.lives.end(instance.id, "delete")
            now = before if instance.state_code == before["Code"] else {"Code": 32, "Name": "shutting-down"}
            ended.append({"InstanceId": instance.id, "CurrentState": now, "PreviousState": before})
        return ActionResult({"TerminatingInstances": ended})

    def describe_images(self) -> ActionResult:
        """The images that SSM has returned, which moto does not have; others are moto's."""
        ids = self._get_param("ImageIds", [])
        if not ids or not self.cloud.images.issuperset(ids):
            return super().describe_images()
        described = {
            "Name": IMAGE_NAME,
            "Description": IMAGE_DESCRIPTION,
            "State": "available",
            "CreationDate": utcnow(),
            "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": IMAGE_GIB}}],
        }
        return ActionResult({"Images": [{"ImageId": id_, "RootDeviceName": "/dev/sda1", **described} for id_ in ids]})

    def describe_instances(self) -> ActionResult:
        self.cloud.lives.settle()
        if self._get_param("InstanceIds") or self.cloud.is_used(self.region):
            return super().describe_instances()
        return ActionResult({"Reservations": []})

    def describe_launch_templates(self) -> ActionResult:
        if self._get_param("LaunchTemplateNames") or self.cloud.is_used(self.region):
            return super().describe_launch_templates()
        return ActionResult({"LaunchTemplates": []})

    def get_console_output(self) -> ActionResult:
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        output = Base64EncodedString.from_raw_string(self.cloud.lives.console(instance.id))
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), "Output": output})

    def describe_regions(self) -> ActionResult:
        """The regions that the account has enabled, or all if the request has AllRegions."""
        names = self._get_param("RegionNames", [])
        found = [region for region in RegionsAndZonesBackend.regions if not names or region.name in names]
        every = self._get_bool_param("AllRegions", if_none=False)
        regions = [
            {"RegionName": region.name, "Endpoint": region.endpoint, "OptInStatus": region.opt_in_status}
            for region in found
            if every or region.opt_in_status != "not-opted-in"
        ]
        return ActionResult({"Regions": [r for r in regions if not r["RegionName"].startswith(("cn-", "us-gov-"))]})

    def describe_instance_type_offerings(self) -> ActionResult:
        kind = self._get_param("LocationType") or "region"
        if kind == "region":
            return super().describe_instance_type_offerings()
        filters = self._filters_from_querystring()
        types = filters.get("instance-type") or sorted(self.cloud.catalog.types(self.region))
        names = {zone: name for name, zone in zones(self.region).items()}
        found = [
            {
                "InstanceType": type_,
                "LocationType": kind,
                "Location": names[zone] if kind == "availability-zone" else zone,
            }
            for type_ in types
            for zone in self.cloud.catalog.zones_of(type_, self.region)
        ]
        where = filters.get("location")
        return ActionResult({"InstanceTypeOfferings": [o for o in found if not where or o["Location"] in where]})

    def describe_spot_price_history(self) -> ActionResult:
        types = self._get_param("InstanceTypes", [])
        names = {zone: name for name, zone in zones(self.region).items()}
        prices = [
            {
                "AvailabilityZone": names[zone],
                "InstanceType": type_,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": f"{price:f}",
                "Timestamp": utcnow(),
            }
            for type_, zone, price in self.cloud.catalog.spot_prices(self.region)
            if zone in names and (not types or type_ in types)
        ]
        return ActionResult({"SpotPriceHistory": prices, "NextToken": ""})

    def _once(self, action: str, do: Callable[[dict[str, Any]], ActionResult]) -> ActionResult:
        sent = {key: value for key, value in self._get_params().items() if key != "ClientToken"}
        answer: ActionResult = self.cloud.once(
            action, self.region, self._get_param("ClientToken"), sent, partial(do, sent)
        )
        return answer

    def _fleet(self) -> dict[str, Any]:
        capacity = self._get_param("TargetCapacitySpecification", {})
        spot = capacity.get("DefaultTargetCapacityType") == "spot"
        strategy = self._get_param("SpotOptions" if spot else "OnDemandOptions", {}).get("AllocationStrategy")
        if strategy not in (None, *STRATEGIES["spot" if spot else "on-demand"]):
            raise EC2ClientError("InvalidParameterValue", f"AllocationStrategy {strategy} is not valid.")
        errors, instances = [], []
        for choice in self._choices(spot=spot):
            described = {"LaunchTemplateAndOverrides": choice.described(), "Lifecycle": choice.pool.lifecycle}
            refusal = self.cloud.unseen(self.region, _groups(choice.data), choice.name) or self.cloud.refusal(
                "CreateFleet", choice.pool
            )
            if refusal is None:
                try:
                    made = self._launch(choice.pool, choice.data)
                except EC2ClientError as error:
                    refusal = error.code, error.message
                else:
                    instances.append(described | {"InstanceIds": [made.id], "InstanceType": choice.pool.type_})
                    break
            errors.append(described | {"ErrorCode": refusal[0], "ErrorMessage": refusal[1]})
        fleet = f"fleet-{self._get_param('ClientToken') or utcnow().timestamp()}"
        return {"FleetId": fleet, "Errors": errors, "Instances": instances}

    def _choices(self, *, spot: bool) -> list[_Choice]:
        """The choices, cheapest first for every strategy: the faults alone determine capacity."""
        choices = []
        for config in self._get_param("LaunchTemplateConfigs", []):
            named = config["LaunchTemplateSpecification"]
            if "LaunchTemplateId" in named:
                template = self.ec2_backend.get_launch_template(named["LaunchTemplateId"])
            else:
                template = self.ec2_backend.get_launch_template_by_name(named["LaunchTemplateName"])
            data = template.get_version(named.get("Version", template.default_version_number)).data
            described = {"LaunchTemplateId": template.id, "Version": str(named.get("Version", "1"))}
            for override in config.get("Overrides") or [{}]:
                whole = dict(data) | dict(override)
                pool = self._pool(whole["InstanceType"], whole.get("SubnetId"), spot=spot)
                choices.append(
                    _Choice(pool=pool, override=override, template=described, name=template.name, data=whole)
                )
        return sorted(choices, key=self._price)

    def _price(self, choice: _Choice) -> float:
        price = self.cloud.catalog.price(choice.pool.type_, choice.pool.zone, spot=choice.pool.spot)
        return float(price) if price is not None else float("inf")

    def _pool(self, type_: str, subnet_id: str | None, *, spot: bool) -> Pool:
        first = next(iter(zones(self.region)))
        name = self.ec2_backend.get_subnet(subnet_id).availability_zone if subnet_id else first
        return Pool(region=self.region, zone=zones(self.region)[name], name=name, type_=type_, spot=spot)

    def _run(self, parameters: Any) -> ActionResult:
        data: dict[str, Any] = {}
        if named := parameters.get("LaunchTemplate"):
            data |= self.ec2_backend._get_template_from_args(named).data  # noqa: SLF001 - as moto's own RunInstances
        data |= {key: value for key, value in parameters.items() if key != "LaunchTemplate"}
        spot = (data.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
        pool = self._pool(data.get("InstanceType", "m1.small"), data.get("SubnetId"), spot=spot)
        if refusal := self.cloud.refusal("RunInstances", pool):
            raise EC2ClientError(*refusal)
        instance = self._launch(pool, data)
        return ActionResult({"ReservationId": "r-0", "OwnerId": self.current_account, "Instances": [instance]})

    def _launch(self, pool: Pool, data: Any) -> Any:
        user_data = data.get("UserData")
        if user_data is not None and not isinstance(user_data, Base64EncodedString):
            user_data = Base64EncodedString(user_data)
        if user_data is not None and len(user_data.decode()) > MAX_USER_DATA:
            raise EC2ClientError("InvalidParameterValue", "User data is limited to 16384 bytes")
        reservation = self.ec2_backend.run_instances(
            data.get("ImageId"),
            1,
            user_data,
            [],
            instance_type=pool.type_,
            is_instance_type_default=False,
            region_name=self.region,
            subnet_id=data.get("SubnetId"),
            security_group_ids=_groups(data),
            tags=convert_tag_spec(data.get("TagSpecifications", [])),
            instance_initiated_shutdown_behavior=data.get("InstanceInitiatedShutdownBehavior"),
            metadata_options=data.get("MetadataOptions", {}),
            client_token=self._get_param("ClientToken"),
            lifecycle="spot" if pool.spot else None,
            block_device_mappings=data.get("BlockDeviceMappings", []),
        )
        instance = reservation.instances[0]
        self.cloud.lives.start(instance, pool, user_data, public=self._is_public(data))
        return instance

    def _is_public(self, data: Any) -> bool:
        """Whether the instance gets a public address: as its interface requests, or else by its subnet's default."""
        for link in data.get("NetworkInterfaces", []):
            if (asked := link.get("AssociatePublicIpAddress")) is not None:
                return str(asked).lower() == "true"
        subnet = data.get("SubnetId")
        return subnet is None or str(self.ec2_backend.get_subnet(subnet).map_public_ip_on_launch).lower() == "true"


def _groups(data: Any) -> list[str]:
    """The security groups of a launch. Raises EC2ClientError if they stand beside an interface, as EC2 does."""
    links, groups = data.get("NetworkInterfaces", []), list(data.get("SecurityGroupIds", []))
    if links and groups:
        text = "Network interfaces and an instance-level security groups may not be specified on the same request"
        raise EC2ClientError("InvalidParameterCombination", text)
    return groups or [group for link in links for group in link.get("Groups", [])]
