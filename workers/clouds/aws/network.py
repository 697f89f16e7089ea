"""Networks of machines: the default VPC's subnets, and one security group for each port."""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from msgspec import Struct

from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import AwsError

LOOK_AGAIN_AFTER = timedelta(minutes=10)
"""Time for which subnets and groups are cached: users may change or delete them."""


class Places(Struct, frozen=True, kw_only=True):
    """A region's default VPC."""

    vpc: str
    subnets: Mapping[str, str]
    """Subnet ids by zone id."""
    zones: Mapping[str, str]
    """Zone ids by zone name: names differ by account."""


class Group(Struct, frozen=True, kw_only=True):
    """A security group. A template may name it before its rules are set; a machine may not."""

    id: str
    opened: Future[None]

    @property
    def is_closed(self) -> bool:
        """Whether its rules could not be set."""
        return self.opened.done() and self.opened.exception() is not None


class Network:
    """Finds and makes network resources. Groups are never deleted, because a launch may be using them."""

    def __init__(self, api: AwsClient) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._places: dict[str, tuple[float, Places]] = {}
        self._groups: dict[tuple[str, str, int, tuple[str, ...]], tuple[float, Group]] = {}
        self._zones: dict[str, dict[str, str]] = {}

    def places(self, region: str) -> Places:
        """The default VPC. Raises AwsError (DefaultVpcDoesNotExist if there is none), DriverError."""
        at, known = self._places.get(region, (float("-inf"), None))
        if known is not None and _fresh(at):
            return known
        filters = [{"Name": "default-for-az", "Values": ["true"]}]
        found = self._api.pages(region, "describe_subnets", "Subnets", Filters=filters)
        if not found:
            raise AwsError(
                region, "DefaultVpcDoesNotExist", "No default VPC exists for this account in this region", 400
            )
        places = Places(
            vpc=found[0]["VpcId"],
            subnets={subnet["AvailabilityZoneId"]: subnet["SubnetId"] for subnet in found},
            zones={subnet["AvailabilityZone"]: subnet["AvailabilityZoneId"] for subnet in found},
        )
        with self._lock:
            self._places[region] = (time.monotonic(), places)
        return places

    def zones(self, region: str) -> dict[str, str]:
        """Zone ids by zone name. Raises AwsError, DriverError."""
        with self._lock:
            known = self._zones.get(region)
        if known is None:
            found = self._api.call("ec2", region, "describe_availability_zones")["AvailabilityZones"]
            known = {zone["ZoneName"]: zone["ZoneId"] for zone in found}
            with self._lock:
                self._zones[region] = known
        return known

    def look(self, region: str, installation: str, port: int) -> Any:
        """The security group of `port`, None if there is none. Changes nothing. Raises AwsError, DriverError.

        Waits while rules for other sources are being set: those that it does not see would stay.
        """
        with self._lock:
            known = [group for (*where, _), (_, group) in self._groups.items() if where == [region, installation, port]]
        wait([group.opened for group in known])
        with ThreadPoolExecutor(1) as threads:
            named = threads.submit(self._named, region, _name(installation, port))
            vpc = self.places(region).vpc
            return next((group for group in named.result() if group["VpcId"] == vpc), None)

    def known_group(self, region: str, installation: str, port: int, sources: tuple[str, ...]) -> Group | None:
        """The group that opens `port` to `sources` only; None unless `group` has returned it recently."""
        at, known = self._groups.get((region, installation, port, sources), (float("-inf"), None))
        return known if known and _fresh(at) and not known.is_closed else None

    def group(self, region: str, installation: str, port: int, sources: tuple[str, ...], found: Any) -> Group:
        """The security group that opens `port` to `sources` only. Raises AwsError, DriverError.

        `found`: what `look` has returned; None makes the group.
        """
        key = (region, installation, port, sources)
        found = found or self._made(region, self.places(region).vpc, _name(installation, port), installation)
        with _one_thread() as thread:
            group = Group(id=found["GroupId"], opened=thread.submit(self._open, region, found, port, sources))
        with self._lock:
            self._groups[key] = (time.monotonic(), group)
        return group

    def forget(self, region: str) -> None:
        """Drop what is cached for a region, after a resource turned out to be missing."""
        with self._lock:
            self._places.pop(region, None)
            self._groups = {key: value for key, value in self._groups.items() if key[0] != region}

    def _named(self, region: str, name: str) -> list[Any]:
        filters = [{"Name": "group-name", "Values": [name]}]
        return self._api.pages(region, "describe_security_groups", "SecurityGroups", Filters=filters)

    def _made(self, region: str, vpc: str, name: str, installation: str) -> Any:
        tags = [{"Key": "mixtral-installation", "Value": installation}]
        try:
            made = self._api.call(
                "ec2",
                region,
                "create_security_group",
                GroupName=name,
                Description="Networks that may reach the models served by mixtral-bot (MIXTRAL_ALLOW_CIDRS)",
                VpcId=vpc,
                TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
            )
        except AwsError as error:
            if error.code != "InvalidGroup.Duplicate":
                raise
            found = next((group for group in self._named(region, name) if group["VpcId"] == vpc), None)
            if found is None:
                raise
            return found  # another worker has made it
        return made | {"IpPermissions": []}

    def _open(self, region: str, group: Any, port: int, sources: tuple[str, ...]) -> None:
        """Add missing rules before surplus ones are removed, so that allowed networks keep their access."""
        wanted = _permission(port, sources)
        lacking = set(sources) - _sources(group["IpPermissions"], port)
        surplus = _surplus(group["IpPermissions"], port, sources)
        try:
            if lacking:
                self._call(region, "authorize_security_group_ingress", group, [_permission(port, sorted(lacking))])
            if surplus:
                self._call(region, "revoke_security_group_ingress", group, surplus)
        except AwsError as error:
            if error.code not in ("InvalidPermission.Duplicate", "InvalidPermission.NotFound"):
                raise
            now = self._api.call("ec2", region, "describe_security_groups", GroupIds=[group["GroupId"]])
            if not set(wanted_sources(wanted)) <= _sources(now["SecurityGroups"][0]["IpPermissions"], port):
                raise

    def _call(self, region: str, action: str, group: Any, permissions: list[Any]) -> None:
        self._api.call("ec2", region, action, GroupId=group["GroupId"], IpPermissions=permissions)


@contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread whose call is not waited for."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="group")
    try:
        yield thread
    finally:
        thread.shutdown(wait=False)


def _name(installation: str, port: int) -> str:
    return f"mixtral-{installation}-{port}"


def _permission(port: int, sources: tuple[str, ...] | list[str]) -> dict[str, Any]:
    ranges = [{"CidrIp": source, "Description": "MIXTRAL_ALLOW_CIDRS"} for source in sources]
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}


def wanted_sources(permission: Mapping[str, Any]) -> list[str]:
    return [one["CidrIp"] for one in permission["IpRanges"]]


def _sources(permissions: list[Any], port: int) -> set[str]:
    ours = [p for p in permissions if _is_ours(p, port)]
    return {source for permission in ours for source in wanted_sources(permission)}


def _surplus(permissions: list[Any], port: int, sources: tuple[str, ...]) -> list[Any]:
    """The permissions of the group beyond `port` from `sources`."""
    surplus = []
    for permission in permissions:
        if _is_ours(permission, port):
            beyond = [one for one in permission["IpRanges"] if one["CidrIp"] not in sources]
            if beyond:
                surplus.append(_permission(port, [one["CidrIp"] for one in beyond]))
        else:
            surplus.append({key: value for key, value in permission.items() if value})
    return surplus


def _is_ours(permission: Mapping[str, Any], port: int) -> bool:
    reach = (permission.get("IpProtocol"), permission.get("FromPort"), permission.get("ToPort"))
    return reach == ("tcp", port, port) and not any(
        permission.get(key) for key in ("Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    )


def _fresh(at: float) -> bool:
    return time.monotonic() - at < LOOK_AGAIN_AFTER.total_seconds()
