"""The methods of Compute Engine that the GCP driver calls, and the routes that configure the stand-in."""

import re
import time
from typing import Any

import msgspec
from msgspec import Struct

from workers.sandbox.gce.billing import skus
from workers.sandbox.gce.cloud import Cloud, id_of
from workers.sandbox.gce.faults import LAUNCHES, ON_THE_CALL, UNREACHABLE, ApiError, Fault, raised
from workers.sandbox.gce.operations import Json

UNREACHABLE_SCOPE = {"code": "UNREACHABLE", "message": "The zone cannot be reached at this time."}
PAGE = 20  # zones
SKUS = 300  # of a page, fewer than Google's 5000, so that there are several
IMAGE_GB = 50
NO_STANDARD = ("g2-", "a3-")
HYPERDISK_ONLY = ("a3-ultragpu", "a4", "g4")
"""Families that refuse persistent disks of the type `standard`, and of any type."""

FILTER = re.compile(r"([\w.\-]+)\s*(=|!=|eq|ne)\s*(\"[^\"]*\"|[^\s()]+)")


class Call(Struct, frozen=True):
    """One call: the method's name in GCE's reference, the parts of the path, the query and the body."""

    method: str
    path: dict[str, str]
    query: dict[str, str]
    body: Json
    token: str = ""
    """The access token; empty for anonymous calls."""


class Gce:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def answer(self, call: Call) -> Json:
        """The answer to one call. Raises ApiError."""
        if call.method.startswith("sandbox."):
            return self._sandbox(call)
        self._apply_faults(call)
        action = getattr(self, "_" + call.method.replace(".", "_"), None)
        if action is None:
            raise ApiError(501, "notImplemented", f"The stand-in has no {call.method}.")
        answer: Json = action(call)
        return answer

    def _apply_faults(self, call: Call) -> None:
        """Record the call, and raise or wait for the faults that come before it takes effect."""
        about = {"zone": call.path.get("zone", "")}
        if call.method in LAUNCHES:
            properties = call.body.get("instanceProperties", call.body)
            spot = properties.get("scheduling", {}).get("provisioningModel") == "SPOT"
            type_ = str(properties.get("machineType", "")).rsplit("/", 1)[-1]
            about |= {"machine_type": type_, "lifecycle": "spot" if spot else "on demand"}
        with self.cloud.changed:
            seen = {"method": call.method, "region": call.path.get("region", ""), **about, "at": time.time()}
            self.cloud.calls.append(seen)
            fault = self.cloud.faults.take(ON_THE_CALL, call.method, **about, token=call.token)
            slow = self.cloud.faults.take(("slow",), call.method, **about)
        if slow:
            time.sleep(slow.seconds)
        if (zone := call.path.get("zone")) and self.cloud.faults.unreachable(zone):
            raise ApiError(503, "backendError", f"The zone '{zone}' cannot be reached at this time.")
        if fault:
            place = call.path.get("region") or call.path.get("zone", "").rpartition("-")[0]
            raise raised(fault, call.path.get("project", ""), place)

    def loses(self, method: str) -> bool:
        """Whether a fault loses the answer of a call that has taken effect."""
        with self.cloud.changed:
            return self.cloud.faults.take(("lost",), method) is not None

    def _zone(self, path: dict[str, str]) -> str:
        if path["zone"] not in self.cloud.catalog.zones:
            raise ApiError(400, "invalid", f"Invalid value for field 'zone': '{path['zone']}'. Unknown zone.")
        return path["zone"]

    def _region(self, region: str, project: str) -> str:
        if region not in self.cloud.catalog.regions:
            raise ApiError(404, "notFound", f"The resource 'projects/{project}/regions/{region}' was not found")
        return region

    def _type(self, zone: str, machine_type: str) -> str:
        name = machine_type.rsplit("/", 1)[-1]
        if (zone, name) not in self.cloud.catalog.types:
            text = f"Machine type with name '{name}' does not exist in zone '{zone}'."
            raise ApiError(400, "invalid", f"Invalid value for field 'resource.machineType': '{machine_type}'. {text}")
        return name

    def _projects_get(self, call: Call) -> Json:
        return {"name": call.path["project"], "quotas": self.cloud.catalog.quotas("global", self.cloud.used())}

    def _instances_insert(self, call: Call) -> Json:
        zone = self._zone(call.path)
        call.body["machineType"] = self._type(zone, call.body["machineType"])
        _check_disk(call.body)
        return self.cloud.launch(
            call.path["project"], f"zones/{zone}", [zone], call.body, call.query.get("requestId", "")
        )

    def _regionInstances_bulkInsert(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        region = self._region(call.path["region"], call.path["project"])
        policy = call.body.get("locationPolicy", {})
        allowed = [one["zone"].rsplit("/", 1)[-1] for one in policy.get("zones", [])]
        (name,) = call.body["perInstanceProperties"]  # the stand-in supports one instance per call
        made = call.body["instanceProperties"] | {"name": name}
        _check_disk(made)
        zones = [
            zone
            for zone in self.cloud.catalog.zones_of(region)
            if (not allowed or zone in allowed) and (zone, made["machineType"]) in self.cloud.catalog.types
        ]
        if not zones:
            raise ApiError(400, "invalid", f"No allowed zone of {region} has {made['machineType']}.")
        return self.cloud.launch(
            call.path["project"], f"regions/{region}", zones, made, call.query.get("requestId", "")
        )

    def _instances_get(self, call: Call) -> Json:
        return self.cloud.get(self._zone(call.path), call.path["name"])

    def _instances_list(self, call: Call) -> Json:
        zone = self._zone(call.path)
        with self.cloud.changed:
            found = [one for (place, _), one in self.cloud.instances.items() if place == zone]
        return {"items": filtered(found, call.query)}

    def _instances_aggregatedList(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        with self.cloud.changed:
            found = filtered(list(self.cloud.instances.values()), call.query)
            hidden = [zone for zone in self.cloud.catalog.zones if self.cloud.faults.unreachable(zone)]
        found = [one for one in found if one["zone"].rsplit("/", 1)[-1] not in hidden]
        nothing = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope on this page."}}
        items: Json = {f"zones/{zone}": dict(nothing) for zone in self.cloud.catalog.zones}
        for one in found:
            items.setdefault(f"zones/{one['zone'].rsplit('/', 1)[-1]}", {}).setdefault("instances", []).append(one)
        return {
            "items": {
                place: {k: v for k, v in held.items() if k != "warning" or "instances" not in held}
                for place, held in items.items()
            }
            | {f"zones/{zone}": {"warning": UNREACHABLE_SCOPE} for zone in hidden},
            "unreachables": [f"zones/{zone}" for zone in hidden],
        }

    def _instances_delete(self, call: Call) -> Json:
        return self.cloud.remove(call.path["project"], self._zone(call.path), call.path["name"])

    def _instances_setLabels(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        return self.cloud.change(call.path["project"], self._zone(call.path), call.path["name"], "labels", call.body)

    def _instances_setMetadata(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        return self.cloud.change(call.path["project"], self._zone(call.path), call.path["name"], "metadata", call.body)

    def _instances_getSerialPortOutput(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        text = self.cloud.machines.console(id_of(self.cloud.get(self._zone(call.path), call.path["name"])))
        return {"contents": text, "start": "0", "next": str(len(text))}

    def _operations_list(self, call: Call) -> Json:
        with self.cloud.changed:
            here = [
                one for one in self.cloud.operations.values() if f"/{call.path['place']}/operations/" in one["selfLink"]
            ]
        return {"items": filtered(here, call.query)}

    def _operations_get(self, call: Call) -> Json:
        with self.cloud.changed:
            if call.path["name"] in self.cloud.operations:
                return self.cloud.operations[call.path["name"]]
        raise ApiError(404, "notFound", f"The resource 'operations/{call.path['name']}' was not found")

    def _operations_wait(self, call: Call) -> Json:
        return self.cloud.wait(call.path["name"])

    def _firewalls_list(self, call: Call) -> Json:
        return {"items": filtered(list(self.cloud.firewalls.values()), call.query)}

    def _firewalls_get(self, call: Call) -> Json:
        if call.path["name"] not in self.cloud.firewalls:
            resource = f"projects/{call.path['project']}/global/firewalls/{call.path['name']}"
            raise ApiError(404, "notFound", f"The resource '{resource}' was not found")
        return self.cloud.firewalls[call.path["name"]]

    def _firewalls_insert(self, call: Call) -> Json:
        with self.cloud.changed:
            if call.body["name"] in self.cloud.firewalls:
                resource = f"projects/{call.path['project']}/global/firewalls/{call.body['name']}"
                raise ApiError(409, "alreadyExists", f"The resource '{resource}' already exists")
            self.cloud.firewalls[call.body["name"]] = call.body
        return self._firewall_done(call.path["project"], call.body["name"], "insert")

    def _firewalls_patch(self, call: Call) -> Json:
        self._firewalls_get(call).update(call.body)
        return self._firewall_done(call.path["project"], call.path["name"], "patch")

    def _firewall_done(self, project: str, name: str, kind: str) -> Json:
        target = self.cloud.url(project, "global", "firewalls", name)
        return self.cloud.finish(self.cloud.operation(project, kind, "global", target, "1"))

    def _images_getFromFamily(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        return {
            "name": f"{call.path['name']}-v20261101",
            "family": call.path["name"],
            "status": "READY",
            "diskSizeGb": str(IMAGE_GB),
        }

    def _images_get(self, call: Call) -> Json:
        return {"name": call.path["name"], "status": "READY", "diskSizeGb": str(IMAGE_GB)}

    def _networks_get(self, _call: Call) -> Json:
        return {"name": "default", "autoCreateSubnetworks": True}

    def _subnetworks_get(self, call: Call) -> Json:
        return {"name": "default", "region": self._region(call.path["region"], call.path["project"])}

    def _zones_list(self, call: Call) -> Json:
        zones = self.cloud.catalog.zones.items()
        found = [
            {"name": z, "status": "UP", "region": self.cloud.url(call.path["project"], "regions", r)} for z, r in zones
        ]
        return {"items": filtered(found, call.query)}

    def _regions_list(self, call: Call) -> Json:
        return {"items": filtered([self._described(call, region) for region in self.cloud.catalog.regions], call.query)}

    def _regions_get(self, call: Call) -> Json:
        return self._described(call, self._region(call.path["name"], call.path["project"]))

    def _described(self, call: Call, region: str) -> Json:
        zones = [self.cloud.url(call.path["project"], "zones", zone) for zone in self.cloud.catalog.zones_of(region)]
        quotas = self.cloud.catalog.quotas(region, self.cloud.used())
        return {"name": region, "status": "UP", "zones": zones, "quotas": quotas}

    def _machineTypes_list(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        zone, catalog = self._zone(call.path), self.cloud.catalog
        return {
            "items": filtered(
                [catalog.described(zone, name) for place, name in catalog.types if place == zone], call.query
            )
        }

    def _machineTypes_aggregatedList(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        """Pages of PAGE zones. A zone that does not answer is named, or fails the call without returnPartialSuccess."""
        catalog = self.cloud.catalog
        with self.cloud.changed:
            silent = [zone for zone in catalog.zones if self.cloud.faults.take((UNREACHABLE,), call.method, zone=zone)]
        if silent and call.query.get("returnPartialSuccess") != "true":
            raise ApiError(503, "backendError", f"The zone {silent[0]} does not answer.")
        here, answer = paged(sorted(set(catalog.zones) - set(silent)), call.query.get("pageToken", ""), PAGE)
        answer["items"] = {}
        for zone in here:
            types = [catalog.described(zone, name) for place, name in catalog.types if place == zone]
            nothing = {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope on this page."}
            found = filtered(types, call.query)
            answer["items"][f"zones/{zone}"] = {"machineTypes": found} if found else {"warning": nothing}
        return answer | {"unreachables": [f"zones/{zone}" for zone in silent]}

    def _services_skus_list(self, call: Call) -> Json:
        """The catalogue of the Cloud Billing API, in pages."""
        if call.path["service"] != "6F81-5844-456A":
            raise ApiError(404, "notFound", "Requested entity was not found.")
        size = min(int(call.query.get("pageSize") or SKUS), SKUS)
        here, answer = paged(skus(self.cloud.catalog), call.query.get("pageToken", ""), size)
        return {"skus": here, "nextPageToken": ""} | answer

    def _machineTypes_get(self, call: Call) -> Json:  # noqa: N802 - GCE's name
        return self.cloud.catalog.described(self._zone(call.path), self._type(call.path["zone"], call.path["name"]))

    def _sandbox(self, call: Call) -> Json:
        cloud = self.cloud
        with cloud.changed:
            match call.method:
                case "sandbox.calls":
                    return {"calls": list(cloud.calls)}
                case "sandbox.forget":
                    cloud.calls.clear()
                case "sandbox.fault":
                    cloud.faults.add(msgspec.convert(call.body, Fault))
                case "sandbox.mend":
                    cloud.faults.clear()
                case "sandbox.quota":
                    cloud.catalog.set_limit(call.body.get("region", "*"), call.body["metric"], call.body["limit"])
                case "sandbox.end":
                    kind = "compute.instances.preempted" if call.path["fate"] == "preempt" else "delete"
                    for zone, name in [key for key in cloud.instances if key[1] == call.path["name"]]:
                        cloud.remove("sandbox", zone, name, kind)
        return {}


def paged(items: list[Any], token: str, size: int) -> tuple[list[Any], Json]:
    """The items of one page, and the token of the next one, if there is one. Raises ApiError."""
    if token and not token.isdigit():
        raise ApiError(400, "invalid", f"Invalid value for field 'pageToken': '{token}'.")
    end = int(token or 0) + size
    return items[int(token or 0) : end], {"nextPageToken": str(end)} if end < len(items) else {}


def _check_disk(body: Json) -> None:
    """Raises ApiError for disks that GCE refuses: too small for the image, or of a type that the machine lacks."""
    disk: Json = next(iter(body.get("disks", [])), {})
    wanted: Json = disk.get("initializeParams", {})
    if 0 < int(wanted.get("diskSizeGb", 0)) < IMAGE_GB:
        text = f"Requested disk size cannot be smaller than the image size ({IMAGE_GB} GB)"
        field = "resource.disks[0].initializeParams.diskSizeGb"
        raise ApiError(400, "invalid", f"Invalid value for field '{field}': '{wanted['diskSizeGb']}'. {text}")
    kind, type_ = wanted.get("diskType", "").rsplit("/", 1)[-1], body["machineType"]
    lacks = type_.startswith(HYPERDISK_ONLY) if kind.startswith("pd-") else False
    if lacks or (kind == "pd-standard" and type_.startswith(NO_STANDARD)):
        text = f"[{kind}] features and [instance_type: {type_}] are not compatible for creating instance."
        raise ApiError(400, "badRequest", text)


def filtered(items: list[Json], query: dict[str, str]) -> list[Json]:
    """The items that match all terms of the filter, each `a = "b"` or `a eq "regular expression"`.

    Raises ApiError.
    """
    text = query.get("filter", "")
    terms = FILTER.findall(text)
    if FILTER.sub("", text).replace("AND", "").strip(" ()"):
        raise ApiError(400, "invalid", f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.")
    return [one for one in items if all(_matches(one, *term) for term in terms)]


def _matches(item: Json, field: str, operator: str, value: str) -> bool:
    found: Any = item
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    text, wanted = str(found), value.strip('"')
    same = text == wanted if operator in ("=", "!=") else re.fullmatch(wanted, text) is not None
    return same == (operator in ("=", "eq"))
