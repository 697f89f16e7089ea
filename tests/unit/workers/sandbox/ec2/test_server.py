"""The EC2 stand-in, asked by boto3 alone: what moto gets wrong, and the faults."""

import base64
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests import loopback
from tests.fakes.aws import AwsCloud
from tests.patience import PATIENCE
from workers.placement import catalog
from workers.sandbox.ec2.faults import Fault, Faults
from workers.sandbox.valkey import free_port


@pytest.fixture
def cloud():
    cloud = AwsCloud()
    yield cloud
    cloud.close()


@pytest.fixture
def ec2(cloud):
    return cloud.client()


def template(ec2, **data):
    script = base64.b64encode(b"#!/bin/bash\n").decode()
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "mixtral-token", "Value": "d-1-1"}]}]
    whole = {"ImageId": "ami-1", "UserData": script, "TagSpecifications": tags} | data
    ec2.create_launch_template(LaunchTemplateName="the-template", LaunchTemplateData=whole)


def subnets(ec2):
    """By zone id."""
    return {s["AvailabilityZoneId"]: s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]}


def fleet(ec2, *zones, token="t-1", type_="p4d.24xlarge", spot=False):
    named = {"LaunchTemplateName": "the-template", "Version": "$Default"}
    overrides = [{"InstanceType": type_, "SubnetId": subnets(ec2)[zone]} for zone in zones or ("use1-az1", "use1-az2")]
    return ec2.create_fleet(
        Type="instant",
        ClientToken=token,
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": named, "Overrides": overrides}],
        TargetCapacitySpecification={
            "TotalTargetCapacity": 1,
            "DefaultTargetCapacityType": "spot" if spot else "on-demand",
        },
    )


def instance(ec2, id_):
    return ec2.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]


def comes(holds, seconds=5):
    give_up_at = time.monotonic() + seconds * PATIENCE
    while not (answer := holds()):
        assert time.monotonic() < give_up_at, "did not come"
        time.sleep(0.02)
    return answer


def code_of(caught):
    return caught.value.response["Error"]["Code"]


def test_a_fleet_takes_the_cheapest_zone_and_its_template_s_security_group(ec2):
    group = ec2.create_security_group(GroupName="g", Description="g")["GroupId"]
    template(ec2, SecurityGroupIds=[group], InstanceInitiatedShutdownBehavior="terminate")
    answer = fleet(ec2)
    assert answer["Errors"] == []
    (made,) = answer["Instances"]
    found = instance(ec2, made["InstanceIds"][0])
    assert [one["GroupId"] for one in found["SecurityGroups"]] == [group]
    assert comes(lambda: instance(ec2, found["InstanceId"]).get("PublicIpAddress", "")).startswith("127.")
    assert instance(ec2, found["InstanceId"])["State"]["Name"] == "running"


def test_a_spot_machine_is_one_and_carries_its_tags(ec2):
    template(ec2)
    id_ = fleet(ec2, spot=True)["Instances"][0]["InstanceIds"][0]
    found = instance(ec2, id_)
    assert found["InstanceLifecycle"] == "spot"
    assert {"Key": "mixtral-token", "Value": "d-1-1"} in found["Tags"]


def test_refused_zones_stand_in_the_errors_beside_the_machine(cloud, ec2):
    template(ec2)
    cloud.fault("InsufficientInstanceCapacity", zone="use1-az1")
    cloud.fault("InsufficientInstanceCapacity", zone="use1-az2")
    answer = fleet(ec2, "use1-az1", "use1-az2", "use1-az4")
    refused = {e["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"] for e in answer["Errors"]}
    assert refused <= {"us-east-1b", "us-east-1c"}
    assert len(answer["Instances"]) == 1
    none = fleet(ec2, "use1-az1", "use1-az2", token="t-2")
    assert [e["ErrorCode"] for e in none["Errors"]] == ["InsufficientInstanceCapacity"] * 2
    assert none["Instances"] == []
    assert "or choosing us-east-1" in none["Errors"][0]["ErrorMessage"]


def test_the_same_token_is_the_same_machine_and_another_request_a_mismatch(ec2):
    template(ec2)
    assert fleet(ec2)["Instances"] == fleet(ec2)["Instances"]
    with pytest.raises(ClientError) as caught:
        fleet(ec2, "use1-az4")
    assert code_of(caught) == "IdempotentParameterMismatch"
    assert fleet(ec2, token="t-2")["Instances"] != fleet(ec2)["Instances"]


def test_run_instances_keeps_its_token_too(cloud, ec2):
    asked = {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, "InstanceType": "p4d.24xlarge", "ClientToken": "r-1"}
    asked["SubnetId"] = subnets(ec2)["use1-az1"]
    one, two = ec2.run_instances(**asked), ec2.run_instances(**asked)
    assert one["Instances"][0]["InstanceId"] == two["Instances"][0]["InstanceId"]
    with pytest.raises(ClientError) as caught:
        ec2.run_instances(**asked | {"InstanceType": "p5.48xlarge"})
    assert code_of(caught) == "IdempotentParameterMismatch"
    cloud.fault("InsufficientInstanceCapacity", times=20)
    with pytest.raises(ClientError) as caught:
        ec2.run_instances(**asked | {"ClientToken": "r-2"})
    assert code_of(caught) == "InsufficientInstanceCapacity"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_type_that_a_zone_does_not_have_is_unsupported_there(ec2):
    template(ec2)
    lacking = next(
        z for z in subnets(ec2) if z not in {o.zone for o in catalog.load() if o.instance_type == "p4d.24xlarge"}
    )
    assert fleet(ec2, lacking)["Errors"][0]["ErrorCode"] == "Unsupported"


def test_a_quota_is_told_and_kept(cloud, ec2):
    template(ec2)
    cloud.quota("L-417A185B", 100, "us-east-*")
    quotas = cloud.client("service-quotas")
    assert quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-417A185B")["Quota"]["Value"] == 100
    made = fleet(ec2)["Instances"][0]["InstanceIds"]
    assert {e["ErrorCode"] for e in fleet(ec2, token="t-2")["Errors"]} == {"VcpuLimitExceeded"}
    ec2.terminate_instances(InstanceIds=made)
    assert fleet(ec2, token="t-3")["Instances"]


def test_regions_zones_and_spot_prices_are_those_of_the_price_table(cloud, ec2):
    sold = [o for o in catalog.load() if o.cloud == "aws" and o.spot and o.usd_per_hour and not o.doubtful]
    regions = {region["RegionName"] for region in ec2.describe_regions()["Regions"]}
    assert {offer.region for offer in sold} <= regions
    assert "me-south-1" not in regions
    zones = {z["ZoneName"]: z["ZoneId"] for z in ec2.describe_availability_zones()["AvailabilityZones"]}
    history = ec2.describe_spot_price_history(InstanceTypes=["p4d.24xlarge"])["SpotPriceHistory"]
    told = {(zones[h["AvailabilityZone"]], h["InstanceType"]): Decimal(h["SpotPrice"]) for h in history}
    for offer in sold:
        if (offer.region, offer.instance_type) == ("us-east-1", "p4d.24xlarge"):
            assert told[offer.zone, offer.instance_type] == offer.usd_per_hour


def test_the_image_has_its_name_and_others_have_not(cloud):
    ssm = cloud.client("ssm")
    name = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")
    with pytest.raises(ClientError) as caught:
        ssm.get_parameter(Name="/nothing")
    assert code_of(caught) == "ParameterNotFound"


def test_ends_have_their_reasons(cloud, ec2):
    template(ec2, InstanceInitiatedShutdownBehavior="terminate")
    for fate, reason in (("preempt", "Server.SpotInstanceTermination"), ("die", "Client.InstanceInitiatedShutdown")):
        id_ = fleet(ec2, token=fate)["Instances"][0]["InstanceIds"][0]
        comes(lambda id_=id_: instance(ec2, id_)["State"]["Name"] == "running")
        cloud.end(id_, fate)
        ended = instance(ec2, id_)
        assert (ended["State"]["Name"], ended["StateReason"]["Code"]) == ("terminated", reason)
        assert "PublicIpAddress" not in ended
        assert not cloud.machines.alive(id_)


def test_a_machine_that_stops_itself_is_stopped_unless_its_template_says_terminate(cloud, ec2):
    template(ec2)
    id_ = fleet(ec2)["Instances"][0]["InstanceIds"][0]
    comes(lambda: instance(ec2, id_)["State"]["Name"] == "running")
    cloud.machines.kill(id_)
    assert instance(ec2, id_)["State"]["Name"] == "stopped"


def test_a_machine_that_finds_no_room_ends_with_the_reason(cloud, ec2):
    template(ec2)
    cloud.machines.boot = lambda *_: 1 / 0
    id_ = fleet(ec2)["Instances"][0]["InstanceIds"][0]
    ended = comes(lambda: (i := instance(ec2, id_))["State"]["Name"] == "terminated" and i)
    assert ended["StateReason"]["Code"] == "Server.InsufficientInstanceCapacity"


def test_a_fault_takes_a_machine_some_time_after_it_is_up(cloud, ec2):
    template(ec2)
    cloud.fault("preempted", lifecycle="spot", seconds=0.1)
    id_ = fleet(ec2, spot=True)["Instances"][0]["InstanceIds"][0]
    assert comes(lambda: instance(ec2, id_)["State"]["Name"] == "terminated")
    kept = fleet(ec2, token="t-2")["Instances"][0]["InstanceIds"][0]
    assert instance(ec2, kept)["State"]["Name"] in ("pending", "running")


def test_an_answer_is_lost_after_its_effect(cloud, ec2):
    template(ec2)
    cloud.fault("lost", times=1)
    with pytest.raises(HTTPClientError):
        fleet(cloud.client(retries={"total_max_attempts": 1}))
    assert len(ec2.describe_instances()["Reservations"]) == 1
    assert fleet(ec2)["Instances"][0]["InstanceIds"] == [
        one["InstanceId"] for r in ec2.describe_instances()["Reservations"] for one in r["Instances"]
    ]


def test_a_call_can_be_slow_and_throttled(cloud, ec2):
    cloud.fault("slow", action="DescribeSubnets", seconds=0.3)
    started = time.monotonic()
    ec2.describe_subnets()
    assert time.monotonic() - started >= 0.3
    cloud.fault("RequestLimitExceeded", action="DescribeVpcs")
    with pytest.raises(ClientError) as caught:
        ec2.describe_vpcs()
    assert code_of(caught) == "RequestLimitExceeded"
    cloud.mend()
    ec2.describe_vpcs()


def test_every_call_is_counted_with_its_region(cloud, ec2):
    ec2.describe_vpcs()
    cloud.client(region="eu-west-1").describe_subnets()
    assert [(c["action"], c["region"]) for c in cloud.calls()] == [
        ("DescribeVpcs", "us-east-1"),
        ("DescribeSubnets", "eu-west-1"),
    ]
    cloud.forget_calls()
    assert cloud.calls() == []


def test_a_malformed_fault_is_refused(cloud):
    answer = loopback.post(f"{cloud.server.url}/sandbox/faults", json={"code": "lost", "zoen": "use1-az1"})
    assert answer.status_code == 400
    assert "zoen" in answer.json()["message"]


def test_an_unsigned_or_unknown_call_is_refused(cloud):
    assert loopback.post(cloud.server.url, data={"Action": "DescribeVpcs"}).status_code == 403
    with pytest.raises(ClientError) as caught:
        cloud.client("sts").get_session_token()
    assert code_of(caught) == "InvalidAction"
    assert cloud.client("sts").get_caller_identity()["Account"]


def test_a_fault_happens_as_often_as_it_says():
    faults = Faults()
    faults.add(Fault(code="InsufficientInstanceCapacity", times=2, zone="use1-*"))
    about = {"region": "us-east-1", "instance_type": "p4d.24xlarge", "zone": "use1-az1", "lifecycle": "spot"}
    assert [bool(faults.of_an_offer("CreateFleet", **about)) for _ in range(3)] == [True, True, False]
    assert faults.of_an_offer("DescribeVpcs", **about) is None


def test_it_runs_by_itself_until_it_is_told_to_end(tmp_path):
    argv = [sys.executable, "-m", "workers.sandbox.ec2.server", "--port", str(free_port()), "--folder", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline()
            url = said.rpartition(" ")[2].strip()
            assert loopback.get(f"{url}/sandbox/calls").json() == {"calls": []}
            process.send_signal(signal.SIGTERM)
            assert process.wait(10 * PATIENCE) == 0
        finally:
            process.kill()
