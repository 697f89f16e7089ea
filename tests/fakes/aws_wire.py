"""The AWS calls of `check` and `prices` on a loopback port: identity, dry runs, quotas, networks, prices."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3  # noqa: F401 - its import takes a second, which must not count as the cloud's time
from botocore import xform_name

REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
NOW = datetime.now(UTC).isoformat()

Answer = tuple[int, str, bytes]
"""(status, content type, body) of an answer."""


class AwsWire:
    """One account. Tests change its attributes."""

    def __init__(self) -> None:
        self.regions = list(REGIONS)
        self.bad_credentials = ""
        self.denied: set[str] = set()
        self.quotas: dict[tuple[str, str], float] = {}
        """(region, code) -> vCPUs."""
        self.quota = 192.0
        self.without_vpc: set[str] = set()
        self.denied_regions: set[str] = set()
        self.without_image: set[str] = set()
        self.image_description = "Supported EC2 instances: G5, P4d. NVIDIA driver 580.95.05"
        self.free_addresses: dict[str, int] = {}
        """Region -> free addresses of its default subnet; 4091 where it is missing."""
        self.spot_role = True
        self.price_list: dict[str, list[str]] = {}
        """Instance type -> entries of AWS's price list."""
        self.spot: dict[tuple[str, str, str], str] = {}
        """(region, zone name, instance type) -> USD per hour."""
        self.offered: dict[str, list[tuple[str, str]]] = {}
        """Region -> zone id and instance type of what it has."""
        self.denied_in: set[tuple[str, str]] = set()
        """Action and region of calls that a policy denies."""
        self.asked: list[tuple[str, str]] = []
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                region = self.headers.get("Authorization", "/////").split("/")[2]
                target = self.headers.get("X-Amz-Target", "")
                status, kind, body = wire.json(target, json.loads(sent), region) if target else wire.xml(sent, region)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.environ = {
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_address[1]}",
        }

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def json(self, target: str, asked: dict[str, Any], region: str) -> Answer:
        action = target.partition(".")[2]
        self.asked.append((action, region))
        kind = "application/x-amz-json-1.1"
        region_denied = region in self.denied_regions and action != "GetProducts"  # in us-east-1, for all regions
        if self.bad_credentials or action in self.denied or region_denied:
            code = self.bad_credentials or "AccessDeniedException"
            return 400, kind, json.dumps({"__type": code, "message": "not allowed"}).encode()
        if action == "GetParameter" and region in self.without_image:
            return 400, kind, json.dumps({"__type": "ParameterNotFound", "message": ""}).encode()
        return 200, kind, json.dumps(self._told(action, asked, region)).encode()

    def _told(self, action: str, asked: dict[str, Any], region: str) -> dict[str, Any]:
        if action == "GetParameter":
            return {"Parameter": {"Name": asked["Name"], "Value": "ami-1234567890abcdef0"}}
        if action == "GetServiceQuota":
            return {"Quota": {"Value": self.quotas.get((region, asked["QuotaCode"]), self.quota)}}
        assert action == "GetProducts"
        type_ = next(f["Value"] for f in asked["Filters"] if f["Field"] == "instanceType")
        return {"FormatVersion": "aws_v1", "PriceList": self.price_list.get(type_, [])}

    def xml(self, sent: str, region: str) -> Answer:
        asked = {key: values[0] for key, values in parse_qs(sent).items()}
        action = asked["Action"]
        self.asked.append((action, region))
        if self.bad_credentials:
            return self._refused(action, self.bad_credentials, 401)
        region_denied = region in self.denied_regions and action != "GetCallerIdentity"
        if region_denied or (action, region) in self.denied_in:
            return self._refused(action, "UnauthorizedOperation", 403)
        if action in self.denied and action == "GetRole":
            return self._refused(action, "AccessDenied", 403)
        if action == "GetRole" and not self.spot_role:
            return self._refused(action, "NoSuchEntity", 404)
        if asked.get("DryRun") == "true":
            code = "UnauthorizedOperation" if action in self.denied else "DryRunOperation"
            return self._refused(action, code, 412)
        inner = getattr(self, f"_{xform_name(action)}")(region)
        if action in ("GetCallerIdentity", "GetRole"):
            inner = f"<{action}Result>{inner}</{action}Result>"
        return 200, "text/xml", f"<{action}Response>{inner}</{action}Response>".encode()

    def _refused(self, action: str, code: str, status: int) -> Answer:
        error = f"<Error><Code>{code}</Code><Message>{escape('said the cloud')}</Message></Error>"
        body = f"<Response><Errors>{error}</Errors></Response>"
        if action in ("GetCallerIdentity", "GetRole"):
            body = f"<ErrorResponse>{error}</ErrorResponse>"
        return status, "text/xml", body.encode()

    def _get_caller_identity(self, _region: str) -> str:
        return "<Arn>arn:aws:iam::111122223333:user/ada</Arn><Account>111122223333</Account><UserId>u</UserId>"

    def _get_role(self, _region: str) -> str:
        name = "AWSServiceRoleForEC2Spot"
        return (
            f"<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>AROA000000000000</RoleId>"
            f"<Arn>arn:aws:iam::111122223333:role/{name}</Arn><CreateDate>{NOW}</CreateDate></Role>"
        )

    def _describe_images(self, _region: str) -> str:
        name = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20261101"
        item = f"<imageId>ami-1</imageId><name>{name}</name><description>{self.image_description}</description>"
        return f"<imagesSet><item>{item}</item></imagesSet>"

    def _describe_subnets(self, region: str) -> str:
        free = self.free_addresses.get(region, 4091)
        item = f"<subnetId>subnet-1</subnetId><availableIpAddressCount>{free}</availableIpAddressCount>"
        return f"<subnetSet><item>{item}</item></subnetSet>"

    def _describe_regions(self, _region: str) -> str:
        items = "".join(f"<item><regionName>{r}</regionName></item>" for r in self.regions)
        return f"<regionInfo>{items}</regionInfo>"

    def _describe_instances(self, _region: str) -> str:
        return "<reservationSet/>"

    def _describe_vpcs(self, region: str) -> str:
        item = "" if region in self.without_vpc else "<item><vpcId>vpc-1</vpcId></item>"
        return f"<vpcSet>{item}</vpcSet>"

    def _describe_availability_zones(self, region: str) -> str:
        short = region.replace("us-east-", "use").replace("us-west-", "usw").replace("eu-west-", "euw")
        zones = ((f"{region}{letter}", f"{short}-az{n}") for n, letter in enumerate("abc", start=1))
        items = "".join(f"<item><zoneName>{name}</zoneName><zoneId>{id_}</zoneId></item>" for name, id_ in zones)
        return f"<availabilityZoneInfo>{items}</availabilityZoneInfo>"

    def _describe_instance_type_offerings(self, region: str) -> str:
        items = "".join(
            f"<item><instanceType>{type_}</instanceType><locationType>availability-zone-id</locationType>"
            f"<location>{zone}</location></item>"
            for zone, type_ in self.offered.get(region, ())
        )
        return f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>"

    def _describe_spot_price_history(self, region: str) -> str:
        items = "".join(
            f"<item><instanceType>{type_}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{price}</spotPrice><timestamp>{NOW}</timestamp><availabilityZone>{zone}</availabilityZone></item>"
            for (in_region, zone, type_), price in self.spot.items()
            if in_region == region
        )
        return f"<spotPriceHistorySet>{items}</spotPriceHistorySet>"


def product(region: str, *prices: str, unit: str = "Hrs") -> str:
    """An entry of AWS's price list, as JSON text."""
    terms = {
        f"T{n}": {"priceDimensions": {f"D{n}": {"unit": unit, "pricePerUnit": {"USD": price}}}}
        for n, price in enumerate(prices)
    }
    return json.dumps({"product": {"attributes": {"regionCode": region}}, "terms": {"OnDemand": terms}})
