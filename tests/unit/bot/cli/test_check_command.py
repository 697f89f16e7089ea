"""`mixtral-bot check`: a line for each thing that must work, with the mend, and never a traceback."""

import io
import json
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from bot.cli import check_command as check
from bot.cli import check_connections, check_redis
from bot.cli.check_hub import joined
from bot.sandbox.seed import APP_TOKEN, BOT_TOKEN
from bot.sandbox.server import start
from tests.fakes.aws_wire import AwsWire
from tests.fakes.gcp import GcpCloud
from tests.fakes.haproxy_certificates import self_signed
from tests.fakes.hub import FakeHub
from workers.clouds.findings import Finding
from workers.clouds.gcp.findings import PERMISSIONS
from workers.placement.in_use import refreshed
from workers.sandbox.gce.server import Handler
from workers.sandbox.valkey import free_port

HEADER = "cloud,region,zone,instance_type,accelerator,count,gpu_memory_gib,vcpus,memory_gib,on_demand_usd_h,spot_usd_h"
DRIVER_580 = "common-cu129-ubuntu-2204-nvidia-580-v20261101"
ROWS = (
    "aws,us-east-1,use1-az1,p4d.24xlarge,A100,8,40,96,1152,21.9,2.4",
    "aws,us-west-2,usw2-az1,p4d.24xlarge,A100,8,40,96,1152,21.9,7.5",
    "gcp,us-central1,us-central1-a,a2-ultragpu-2g,A100-80GB,2,80,24,340,5.9,3.3",
)


@pytest.fixture
def home(tmp_path):
    file = tmp_path / "few.csv"
    file.write_text("\n".join((HEADER, *ROWS)) + "\n")
    return {
        "HOME": str(tmp_path),
        "MIXTRAL_HOME": str(tmp_path / "home"),
        "MIXTRAL_PRICES": str(file),
        "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture
def aws():
    wire = AwsWire()
    yield wire
    wire.close()


@pytest.fixture
def gcp():
    cloud = GcpCloud()
    asked = {"do_GET": More.do_GET, "do_POST": More.do_POST}
    cloud.server.RequestHandlerClass = type("More", (More,), {**vars(cloud.server.RequestHandlerClass), **asked})
    More.held, More.network, More.image, More.subnets = list(PERMISSIONS), True, DRIVER_580, ["us-central1"]
    yield cloud
    cloud.server.shutdown()
    cloud.server.server_close()


class More(Handler):
    """What of Google Cloud is asked by nobody but `check`."""

    held: ClassVar[list[str]] = []
    network = True
    image: str | None = None
    """Name of the newest image of the family; None: the family does not exist."""
    subnets: ClassVar[list[str]] = []
    """Regions in which the default network has a subnet."""

    def do_GET(self):  # noqa: N802 - a name that http.server calls
        if "/images/family/" in self.path:
            missing = {"error": {"code": 404, "message": "The resource was not found", "errors": []}}
            return self._say(200, {"name": More.image, "diskSizeGb": "50"}) if More.image else self._say(404, missing)
        if "/subnetworks/" in self.path:
            region = self.path.split("/regions/")[1].split("/")[0]
            message = f"The resource 'projects/a-project/regions/{region}/subnetworks/default' was not found"
            missing = {"error": {"code": 404, "message": message, "errors": [{"reason": "notFound"}]}}
            return self._say(200, {"name": "default"}) if region in More.subnets else self._say(404, missing)
        if not self.path.startswith("/compute/v1/projects/a-project/global/networks/"):
            return self.handle_one()
        message = "The resource 'projects/a-project/global/networks/default' was not found"
        missing = {"error": {"code": 404, "message": message, "errors": [{"reason": "notFound", "message": message}]}}
        return self._say(200, {"name": "default"}) if More.network else self._say(404, missing)

    def do_POST(self):  # noqa: N802 - likewise
        if not self.path.endswith(":testIamPermissions"):
            return self.handle_one()
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["permissions"]
        return self._say(200, {"permissions": [one for one in asked if one in More.held]})

    def _say(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def checked(environ, *, deep=False):
    """Exit status, and the lines."""
    out, err = io.StringIO(), io.StringIO()
    status = check.run(environ, out, err, deep=deep)
    text = out.getvalue()
    assert "Traceback" not in text + err.getvalue()
    return status, text.splitlines()


def line(lines, about, what=""):
    found = [one for one in lines if one[3:].split()[0] == about and what in one]
    assert len(found) == 1, lines
    return found[0]


@contextmanager
def answering(text="ok", status=200):
    """The address of a server that says this to everybody."""

    class Same(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Same)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("redis")
def test_everything_that_works_is_told_in_a_line_each_and_status_0(home, aws, gcp, valkey_url, monkeypatch):
    monkeypatch.setattr(check_redis, "SLOW", 30.0)  # a call on a busy host may take longer than the product's 0.1 s
    with start() as slack, answering() as gateway:
        environ = home | aws.environ | gcp.environ | {"MIXTRAL_GATEWAY_URL": gateway}
        environ |= {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": slack.api_url}
        status, lines = checked(environ | {"REDIS_URL": valkey_url})
    assert [one[:2] for one in lines[:-1] if one[:2] not in ("ok", "- ")] == []
    assert status == 0
    assert lines[-1] == "Ready for a launch on AWS, GCP and local, once the worker runs."
    assert "stores every append" in line(lines, "Redis")
    assert "arn:aws:iam::111122223333:user/ada in account 111122223333" in line(lines, "AWS", "credentials")
    assert "8 of 8 calls" in line(lines, "AWS", "permissions")
    assert "P on demand: up to 192 vCPUs in us-east-1 and us-west-2" in line(lines, "AWS", "P on demand")
    assert "project a-project" in line(lines, "GCP", "credentials")
    assert f"all {len(PERMISSIONS)}" in line(lines, "GCP", "permissions")
    assert "changed on" in line(lines, "prices")
    assert "version 2.8" in line(lines, "gateway", "HAProxy")
    assert f"{gateway} answers" in line(lines, "gateway", "address")
    assert line(lines, "AWS", "firewall").endswith("open to 203.0.113.0/24")


def test_without_anything_each_line_has_its_mend_and_the_status_is_1(home):
    del home["MIXTRAL_PRICES"]
    port = free_port()
    home["MIXTRAL_GATEWAY_BIND"] = f"0.0.0.0:{port}"  # the default is a demo's, where one runs
    status, lines = checked(home)
    assert status == 1
    assert "Set REDIS_URL" in line(lines, "Redis").replace("and set", "Set")
    assert "Copy the Bot User OAuth Token" in line(lines, "Slack", "bot token")
    assert "connections:write" in line(lines, "Slack", "app token")
    assert line(lines, "AWS").startswith("- ")
    assert "aws configure" in line(lines, "AWS")
    assert "read in 2026-11" in line(lines, "prices")
    told = line(lines, "gateway", "address")
    assert told.startswith("- ")  # nobody has said where it is, and it may come later
    assert f"http://localhost:{port}" in told
    assert lines[-1] == (
        "Not ready for a launch: mend what is marked `no` above (Redis, Slack bot token and Slack app token)."
    )


def test_the_weights_of_each_recipe_are_looked_for_at_the_hub(home):
    hub = FakeHub()
    hub.models = {"mistralai/Mixtral-8x7B-Instruct-v0.1": "auto", "mistralai/Mistral-7B-Instruct-v0.2": False}
    try:
        _, lines = checked(home | {"HF_HUB_OFFLINE": "", "HF_ENDPOINT": hub.url})
    finally:
        hub.close()
    assert line(lines, "hub", "Mistral-7B-Instruct-v0.2").startswith("ok")
    gated = line(lines, "hub", "Mixtral-8x7B-Instruct-v0.1")
    assert gated.startswith("- ")
    assert "are gated at" in gated
    assert "set HF_TOKEN where `mixtral-bot worker` runs" in gated


def test_findings_about_models_that_differ_by_the_name_alone_are_one_line():
    def found(model, mend=""):
        return [Finding(about="hub", what="", works=True, says=f"the weights of {model} can be downloaded", mend=mend)]

    answers = {f"hub {model}": found(model) for model in ("a/b", "c/d", "e/f")} | {
        "hub g/h": found("g/h", "see hub/g/h")
    }
    hub = joined(answers)["hub"]
    assert not isinstance(hub, Exception)
    [one, other] = hub
    assert one.says == "the weights of a/b, c/d and e/f can be downloaded"
    assert other.says == "the weights of g/h can be downloaded"


def test_credentials_that_aws_refuses_are_one_line_with_the_mend(home, aws):
    aws.bad_credentials = "InvalidClientTokenId"
    status, lines = checked(home | aws.environ)
    assert status == 1
    told = line(lines, "AWS", "credentials")
    assert told.startswith("no")
    assert "wrong or have expired (InvalidClientTokenId)" in told
    assert "Set AWS_ACCESS_KEY_ID" in told
    assert len([one for one in lines if "AWS" in one[:12]]) == 2  # and who may reach the port


def test_a_permission_that_a_launch_lacks_is_named(home, aws):
    aws.denied = {"RunInstances", "CreateFleet"}
    _, lines = checked(home | aws.environ)
    told = line(lines, "AWS", "permissions")
    assert told.startswith("no")
    assert "not allowed in us-east-1: ec2:RunInstances, ec2:CreateFleet. Attach a policy" in told


def test_a_denial_for_another_s_security_group_is_no_missing_permission(home, aws):
    aws.denied = {"AuthorizeSecurityGroupIngress"}
    _, lines = checked(home | aws.environ)
    told = line(lines, "AWS", "permissions")
    assert told.startswith("ok")
    assert "7 of 8 calls of a launch are allowed" in told
    assert "unknown for ec2:AuthorizeSecurityGroupIngress" in told


def test_a_quota_too_small_everywhere_names_the_page_to_ask_for_more(home, aws):
    aws.quotas = {("us-east-1", "L-417A185B"): 0.0, ("us-west-2", "L-417A185B"): 64.0}
    aws.quotas |= {("us-east-1", "L-7212CCBC"): 0.0}
    _, lines = checked(home | aws.environ)
    told = line(lines, "AWS", "P on demand")
    assert told.startswith("no")
    assert "64 vCPUs at most in us-east-1 and us-west-2, and p4d.24xlarge needs 96" in told
    assert "quotas/L-417A185B" in told
    assert "up to 192 vCPUs in us-west-2; too small in us-east-1" in line(lines, "AWS", "P spot")


def test_a_region_without_network_and_one_not_enabled_are_named(home, aws):
    aws.regions = ["us-east-1"]
    aws.without_vpc = {"us-east-1"}
    _, lines = checked(home | aws.environ)
    assert "not us-west-2" in line(lines, "AWS", "regions")
    assert "aws ec2 create-default-vpc --region us-east-1" in line(lines, "AWS", "network")


def test_a_region_that_a_policy_denies_has_a_line_with_the_cloud_s_words_and_the_mend(home, aws):
    aws.denied_regions = {"us-west-2"}
    _, lines = checked(home | aws.environ)
    whole, denied = [one for one in lines if one[3:].startswith("AWS      regions")]
    assert "1 of the 2 in the price table are enabled and list instances, not us-west-2" in whole
    assert "us-west-2 cannot be listed: the credentials lack a required permission" in denied
    assert "said the cloud" in denied
    assert "Grant the credentials read access" in denied


def test_a_denied_region_hides_neither_networks_nor_quotas_of_the_others(home, aws):
    aws.denied_regions = {"us-west-2"}
    aws.quotas = {("us-east-1", "L-417A185B"): 0.0}
    _, lines = checked(home | aws.environ)
    assert line(lines, "AWS", "network").startswith("ok")
    assert "a default VPC in us-east-1; unknown in us-west-2" in line(lines, "AWS", "network")
    told = line(lines, "AWS", "P on demand")
    assert told.startswith("no")
    assert "0 vCPUs at most in us-east-1, and p4d.24xlarge needs 96" in told


def test_networks_that_no_region_tells_are_unknown(home, aws):
    aws.denied = {"GetServiceQuota"}
    aws.denied_in = {("DescribeVpcs", "us-east-1"), ("DescribeVpcs", "us-west-2")}
    _, lines = checked(home | aws.environ)
    for what in ("network", "quotas"):
        told = line(lines, "AWS", what)
        assert told.startswith("- ")
        assert "could not be checked" in told


def test_a_home_region_that_a_policy_denies_hides_no_other(home, aws):
    aws.denied_regions = {"us-east-1"}
    _, lines = checked(home | aws.environ | {"AWS_REGION": "us-east-1"})
    whole, denied = [one for one in lines if one[3:].startswith("AWS      regions")]
    assert "1 of the 2" in whole
    assert "us-east-1 cannot be listed" in denied


def test_a_zone_that_cannot_be_reached_has_a_line(home, gcp):
    gcp.fault("unreachable", zone="us-central1-c")
    _, lines = checked(home | gcp.environ)
    assert any("us-central1-c cannot be listed: The zone cannot be reached at this time" in one for one in lines)


def test_google_quotas_permissions_and_network_are_told(home, gcp):
    gcp.quota("NVIDIA_A100_80GB_GPUS", 1)
    More.held.remove("compute.firewalls.create")
    More.network = False
    _, lines = checked(home | gcp.environ)
    assert "lacks compute.firewalls.create. Grant the account" in line(lines, "GCP", "permissions")
    assert "gcloud compute networks create default" in line(lines, "GCP", "network")
    told = line(lines, "GCP", "A100-80GB on demand")
    assert told.startswith("no")
    assert "1 GPUs at most in us-central1, and a2-ultragpu-2g needs 2" in told


@pytest.fixture
def deep(home, aws, gcp):
    """The lines of `check --deep` on both clouds, for a host whose public address is the argument."""

    def lines(address="203.0.113.9"):
        with answering(f"{address}\n") as egress:
            return checked(home | aws.environ | gcp.environ | {"MIXTRAL_EGRESS_URL": egress}, deep=True)[1]

    return lines


def test_deep_what_a_first_launch_needs_is_found(deep):
    lines = deep()
    assert "in us-east-1 and us-west-2" in line(lines, "AWS", "image       Deep Learning")
    assert line(lines, "AWS", "driver  ").startswith("ok")
    assert "2 default subnets" in line(lines, "AWS", "subnets")
    assert "exists" in line(lines, "AWS", "spot role")
    assert f"{DRIVER_580}, 50 GB" in line(lines, "GCP", "image")
    assert "NVIDIA driver 580" in line(lines, "GCP", "driver")
    assert "a subnet in us-central1" in line(lines, "GCP", "subnets")
    assert line(lines, "GCP", "other quota").startswith("ok")
    assert "from 203.0.113.9" in line(lines, "settings", "egress")
    assert not [one for one in lines if one.startswith("no") and one[3:6] in ("AWS", "GCP")]


def test_deep_what_would_stop_a_first_launch_on_aws_is_named_with_its_mend(deep, aws):
    aws.without_image = {"us-east-1"}
    aws.free_addresses = {"us-east-1": 0}
    aws.image_description = "NVIDIA driver 570.133.20"
    aws.spot_role = False
    lines = deep()
    assert "not in us-east-1" in line(lines, "AWS", "image       ")
    assert "none in us-east-1. Run `aws ec2 create-default-subnet" in line(lines, "AWS", "subnets")
    driver = line(lines, "AWS", "driver  ")
    assert driver.startswith("no")
    assert "has NVIDIA driver 570, and vLLM" in driver
    assert "Run `aws iam create-service-linked-role" in line(lines, "AWS", "spot role")


def test_deep_an_image_that_no_region_has_and_full_subnets_everywhere_are_failures(deep, aws):
    aws.without_image = {"us-east-1", "us-west-2"}
    aws.free_addresses = {"us-east-1": 0, "us-west-2": 0}
    lines = deep()
    assert line(lines, "AWS", "image  ").startswith("no")
    assert line(lines, "AWS", "subnets").startswith("no")


def test_deep_a_driver_that_the_cloud_does_not_state_is_unknown(deep, aws):
    aws.image_description = "Supported EC2 instances: G5, P4d."
    assert line(deep(), "AWS", "driver  ").startswith("- ")


def test_deep_a_role_that_may_not_be_read_is_unknown(deep, aws):
    aws.denied = {"GetRole"}
    told = line(deep(), "AWS", "spot role")
    assert told.startswith("- ")
    assert "could not be checked" in told


def test_deep_what_would_stop_a_first_launch_on_google_is_named_with_its_mend(deep, gcp):
    More.image, More.subnets = "common-cu128-ubuntu-2204-nvidia-570-v1", []
    gcp.quota("IN_USE_ADDRESSES", 0)
    gcp.quota("SSD_TOTAL_GB", 100)
    lines = deep()
    assert "has NVIDIA driver 570" in line(lines, "GCP", "driver")
    assert "has no subnet in us-central1. Run `gcloud compute networks subnets" in line(lines, "GCP", "subnets")
    assert "less than the 1 that a machine needs" in line(lines, "GCP", "IN_USE_ADDRESSES")
    assert "less than the 256 that a machine needs" in line(lines, "GCP", "SSD_TOTAL_GB")


def test_deep_an_image_family_that_is_gone_is_named(deep):
    More.image = None
    told = line(deep(), "GCP", "image")
    assert told.startswith("no")
    assert "does not exist. Set image_id" in told


def test_deep_a_host_that_machines_would_not_admit_is_told_the_network_to_add(deep):
    told = line(deep("198.51.100.7"), "settings", "egress")
    assert told.startswith("no")
    assert "Add 198.51.100.7/32 to MIXTRAL_ALLOW_CIDRS" in told


def test_deep_an_address_that_cannot_be_read_is_unknown(deep):
    told = line(deep("<html>"), "settings", "egress")
    assert told.startswith("- ")
    assert "answers with something else than an IPv4 address" in told


def test_deep_an_address_that_is_not_found_is_said_by_its_status(home, aws):
    with answering("gone", status=404) as egress:
        _, lines = checked(home | aws.environ | {"MIXTRAL_EGRESS_URL": egress}, deep=True)
    assert f"could not be read: {egress} answers with status 404. Set MIXTRAL_EGRESS_URL" in line(
        lines, "settings", "egress"
    )


def test_prices_of_an_own_table_are_not_said_to_be_updated(home):
    _, lines = checked(home)
    assert line(lines, "prices").endswith(": the table in MIXTRAL_PRICES, which is used alone")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("authError", "gcloud auth application-default login"),
        ("projectNotFound", "Set GOOGLE_CLOUD_PROJECT"),
        ("accessNotConfigured", "gcloud services enable compute.googleapis.com"),
        ("BILLING_DISABLED", "Link a billing account"),
    ],
)
def test_what_google_refuses_is_one_line_with_the_mend(home, gcp, code, says):
    gcp.fault(code)
    status, lines = checked(home | gcp.environ)
    assert status == 1
    told = line(lines, "GCP", "credentials")
    assert told.startswith("no")
    assert says in told


def test_clouds_that_do_not_answer_are_told_without_a_traceback(home):
    dead = f"http://127.0.0.1:{free_port()}"
    environ = home | {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": dead}
    environ |= {"GOOGLE_CLOUD_PROJECT": "p", "MIXTRAL_GCE_ENDPOINT": dead, "REDIS_URL": dead.replace("http", "redis")}
    environ |= {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "SLACK_API_URL": dead}
    status, lines = checked(environ)
    assert status == 1
    assert "Check the network, and AWS_ENDPOINT_URL" in line(lines, "AWS", "credentials")
    assert "cannot be reached: Connection refused" in line(lines, "GCP", "credentials")
    assert "Start it, or correct REDIS_URL" in line(lines, "Redis")
    assert "Check the network and SLACK_API_URL" in line(lines, "Slack", "bot token")


def test_prices_that_redis_does_not_give_are_mended_with_redis(home):
    del home["MIXTRAL_PRICES"]
    _, lines = checked(home | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    told = line(lines, "prices", "are not used, because it does not answer")
    assert "mixtral-bot prices" not in told


def test_a_price_file_that_cannot_be_read_is_mended_by_reading_the_prices_again(home):
    del home["MIXTRAL_PRICES"]
    file = refreshed(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\xff")
    _, lines = checked(home)
    assert line(lines, "prices", "is ignored").endswith("Run `mixtral-bot prices`.")


def test_who_may_reach_the_ports_must_be_said(home, aws):
    _, lines = checked(home | aws.environ | {"MIXTRAL_ALLOW_CIDRS": ""})
    told = line(lines, "AWS", "firewall")
    assert told.startswith("no")
    assert "MIXTRAL_ALLOW_CIDRS=203.0.113.7/32" in told
    _, lines = checked(home | aws.environ | {"MIXTRAL_ALLOW_CIDRS": "the office"})
    assert 'contains "the office", which is not a network' in line(lines, "AWS", "firewall")


@pytest.mark.parametrize("variable", ["MIXTRAL_GATEWAY_URL", "MIXTRAL_GATEWAY_INTERNAL_URL"])
def test_a_gateway_that_does_not_answer_where_it_should_is_told_with_the_mend(home, variable):
    dead = f"http://127.0.0.1:{free_port()}"
    status, lines = checked(home | {variable: dead})
    assert status == 1
    told = line(lines, "gateway", dead)
    assert told.startswith("no")
    assert f"Start `mixtral-bot gateway`, or correct {variable}." in told


def test_something_else_at_the_gateways_address_is_told(home):
    with answering("<h1>It works!</h1>") as other:
        _, lines = checked(home | {"MIXTRAL_GATEWAY_URL": other})
    told = line(lines, "gateway", "address")
    assert told.startswith("no")
    assert "is not a gateway: status 200" in told


def test_a_certificate_is_looked_at_before_haproxy_is(home, tmp_path):
    (one, one_key), (_, other_key) = self_signed(tmp_path, "one"), self_signed(tmp_path, "other")
    _, lines = checked(home | {"MIXTRAL_TLS_CERT": str(one), "MIXTRAL_TLS_KEY": str(one_key)})
    assert "matches its key" in line(lines, "gateway", "certificate")
    status, lines = checked(home | {"MIXTRAL_TLS_CERT": str(one), "MIXTRAL_TLS_KEY": str(other_key)})
    assert status == 1
    told = line(lines, "gateway", "certificate")
    assert "does not match the key" in told
    assert "issued together." in told
    _, lines = checked(home | {"MIXTRAL_TLS_CERT": str(one)})
    assert "MIXTRAL_TLS_CERT and MIXTRAL_TLS_KEY require each other" in line(lines, "settings")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MIXTRAL_ADMINS", "@ada", "MIXTRAL_ADMINS contains '@ada', which is not the id of a person"),
        ("MIXTRAL_SLACK_TEAMS", "acme", "MIXTRAL_SLACK_TEAMS contains 'acme'"),
        ("MIXTRAL_CONFIRM_ABOVE", "much", "MIXTRAL_CONFIRM_ABOVE='much' is not a price"),
        ("PORT", "70000", "PORT='70000' is not a port. Write a number from 1 to 65535."),
        ("SLACK_API_URL", "slack.com", "SLACK_API_URL='slack.com' is not an address"),
    ],
)
def test_a_setting_that_would_stop_the_bot_is_told(home, variable, value, says):
    status, lines = checked(home | {variable: value})
    assert status == 1
    assert line(lines, "settings", variable).startswith("no")
    assert says in line(lines, "settings", variable)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'HAProxy version 2.6.12-1 2023/12/16'", ("no", "Install 2.8, for example")),
        ("exit 3", ("no", "cannot be run")),
        ("echo 'HAProxy version 3.2.1-e134140 2025/06/10'", ("-", "which is not tested; 3.2.0 loses")),
        ("echo 'HAProxy version 2.8.25 2026/03/10'", ("ok", "version 2.8.25")),
    ],
)
def test_the_haproxy_that_would_be_started_is_looked_at(home, tmp_path, monkeypatch, script, told):
    program = tmp_path / "haproxy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(check_connections, "binary", lambda: program)
    _, lines = checked(home)
    mark, says = told
    assert line(lines, "gateway", "HAProxy").startswith(mark)
    assert says in line(lines, "gateway", "HAProxy")


def test_where_others_start_haproxy_none_is_looked_for(home):
    _, lines = checked(home | {"MIXTRAL_HAPROXY": "attached"})
    assert line(lines, "gateway", "started by another process").startswith("- ")


def test_broken_prices_are_named_by_file_and_line(home, tmp_path):
    (tmp_path / "few.csv").write_text(
        f"{HEADER}\n{ROWS[0]}\naws,us-east-1,use1-az2,p4d.24xlarge,A100,8,40,96,1152,x,\n"
    )
    status, lines = checked(home)
    assert status == 1
    told = line(lines, "prices")
    assert told.startswith("no")
    assert 'few.csv:3: on_demand_usd_h is "x", not a number above 0 and up to 1,000. Correct the price table.' in told


def test_a_cloud_that_was_named_must_work(home):
    _, lines = checked(home | {"MIXTRAL_CLOUDS": "aws"})
    assert line(lines, "AWS").startswith("no")
    assert "MIXTRAL_CLOUDS does not include it" in line(lines, "local")


def test_a_cloud_that_does_not_exist_is_named(home):
    status, lines = checked(home | {"MIXTRAL_CLOUDS": "gpc,aws"})
    assert status == 1
    assert "MIXTRAL_CLOUDS names 'gpc'. The clouds are aws, gcp, local" in "\n".join(lines)


@pytest.mark.parametrize("variable", ["MIXTRAL_LEASE", "MIXTRAL_SWEEP_EVERY"])
def test_a_variable_that_cannot_be_read_is_a_line(home, variable):
    status, lines = checked(home | {variable: "soon"})
    assert status == 1
    assert f"{variable}='soon' is not a duration" in line(lines, "settings")


def test_a_question_without_an_answer_is_bounded_and_told(home, monkeypatch):
    monkeypatch.setattr(check, "WITHIN", timedelta(seconds=0.3))
    answer = threading.Event()
    monkeypatch.setattr(check, "slack", lambda _: answer.wait(60))
    began = time.monotonic()
    status, lines = checked(home)
    assert time.monotonic() - began < 30
    answer.set()
    assert status == 1
    assert "no answer within" in line(lines, "Slack")


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_lines_wrap_beneath_themselves(home, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, lines = checked(home)
    assert max(len(one) for one in lines) <= columns
    last = next(n for n, one in enumerate(lines) if one.startswith("Not ready for a launch"))
    assert all(one[:22].strip() == "" or one[:2] in ("ok", "no", "- ") for one in lines[:last])
