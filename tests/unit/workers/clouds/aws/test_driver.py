"""The AWS driver on its stand-in: refusals, lost answers, quotas, networks, and what is wrong before any paid call."""

import base64
import contextlib
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from tests.builders.machines import INSTALLATION, SECRETS, boot, request
from tests.fakes.aws import AwsCloud
from tests.fakes.ladder import climb, rungs
from tests.patience import PATIENCE
from workers.clouds.aws import fleet, launch, regions
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.aws.errors import AwsError
from workers.clouds.aws.quotes import aws_spot
from workers.clouds.driver import Ahead, DriverError, Refused
from workers.machines import Presence, Token
from workers.placement.refusals import Scope


@pytest.fixture
def cloud():
    cloud = AwsCloud()
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def batch(cloud, type_="p4d.24xlarge", region="us-east-1", *, spot=False):
    return tuple(o for o in cloud.offers(spot=spot) if (o.instance_type, o.region) == (type_, region))


def refused(driver, asked):
    with pytest.raises(Refused) as caught:
        driver.create(asked, SECRETS)
    assert not str(caught.value).endswith(".") or "MIXTRAL_ALLOW_CIDRS" in str(caught.value)
    return caught.value


GROUNDWORK = ("DescribeSubnets", "GetParameter", "DescribeImages", "DescribeSecurityGroups", "CreateSecurityGroup")


class AtOnce:
    """Counts how many calls are made at the same time."""

    def __init__(self, call):
        self._call = call
        self._lock = threading.Lock()
        self._open = self.most = 0

    def __call__(self, *given, **asked):
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            return self._call(*given, **asked)
        finally:
            with self._lock:
                self._open -= 1


def instances(cloud, region="us-east-1"):
    found = cloud.client(region=region).describe_instances()["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


# The ladder, as the table of measurements has it


def test_want_of_capacity_everywhere_costs_one_call_a_region_and_type(cloud, driver):
    cloud.fault("InsufficientInstanceCapacity")
    machine, _ = climb(driver)
    assert machine is None
    assert len(cloud.launches()) <= 20


def test_a_quota_error_everywhere_costs_one_call_a_region(cloud, driver):
    cloud.fault("VcpuLimitExceeded")
    machine, _ = climb(driver)
    assert machine is None
    assert len(cloud.launches()) <= 13


def regions_asked(refusals):
    return [offers[0].region for error in refusals for offers in {one.offers for one in error.refusals}]


def test_a_denied_region_is_asked_once_and_the_next_one_gives_the_machine(cloud, driver):
    denied = rungs("aws")[0].offer.region
    cloud.fault("UnauthorizedOperation", region=denied, action="*")
    machine, refusals = climb(cloud.driver)
    assert regions_asked(refusals) == [denied]
    assert machine is not None
    assert machine.offer.region != denied


def test_a_denied_home_region_rules_out_no_other_one(cloud, driver):
    cloud.fault("UnauthorizedOperation", region=driver.api.home, action="*")
    offers = batch(cloud, region="us-west-2")
    assert driver.create(request("d-1-1", offers), SECRETS).offer in offers


@pytest.mark.parametrize(
    ("code", "text", "asked"),
    [
        ("UnauthorizedOperation", "", 2),
        ("AuthFailure", "", 1),
        ("UnauthorizedOperation", "… with an explicit deny in a service control policy.", 13),
    ],
)
def test_a_denial_everywhere_is_asked_about_in_as_few_regions_as_can_tell(cloud, driver, code, text, asked):
    cloud.fault(code, message=text, action="CreateFleet")
    machine, refusals = climb(driver)
    assert machine is None
    assert len(refusals) == len(set(regions_asked(refusals))) == asked


def test_a_missing_image_parameter_everywhere_is_one_refusal(cloud, driver, monkeypatch):
    monkeypatch.setattr(fleet, "IMAGE", "/aws/service/elsewhere")
    machine, refusals = climb(driver)
    assert machine is None
    assert len(refusals) == 1
    assert cloud.launches() == []


def test_the_groundwork_of_all_regions_is_done_at_once_and_the_hopeless_ones_are_one_refusal(cloud, driver):
    cloud.quota("L-417A185B", 0)
    cloud.fault("slow", action="GetServiceQuota", seconds=0.3 * PATIENCE)  # in which the last one begins, too
    counting = AtOnce(driver.api.call)
    driver.api.call = counting
    machine, refusals = climb(driver)
    assert machine is None
    assert len(refusals) == 1
    assert counting.most >= len({rung.offer.region for rung in rungs("aws")}) - 1


def test_a_region_without_hope_is_left_out_and_no_call_of_the_groundwork_is_made_twice(cloud, driver):
    regions = list(dict.fromkeys(rung.offer.region for rung in rungs("aws")))
    cloud.fault("InsufficientInstanceCapacity", region=regions[0])
    cloud.quota("L-417A185B", 0, region=regions[1])
    cloud.fault("UnauthorizedOperation", region=regions[2], action="DescribeSubnets")
    machine, refusals = climb(driver)
    assert machine is not None
    assert machine.offer.region not in regions[:3]
    assert {one.offers[0].region for error in refusals for one in error.refusals} <= {regions[0]}
    asked = Counter((call["action"], call["region"]) for call in cloud.calls(*GROUNDWORK))
    assert set(asked.values()) == {1}


def test_groundwork_that_fails_in_a_way_of_its_own_keeps_no_refusal_from_the_log(cloud, driver):
    """The answer of the launch call is known: without it in the log, the same offer would be requested again."""
    first, second = list(dict.fromkeys(rung.offer.region for rung in rungs("aws")))[:2]
    cloud.fault("InsufficientInstanceCapacity", region=first)
    inner = driver.api.call

    def strange(service, region, action, **fields):
        if region == second:
            raise KeyError("Subnets")
        return inner(service, region, action, **fields)

    driver.api.call = strange
    assert (
        driver.hopeless(request("t", offers=batch(cloud)), [r.offer for r in rungs("aws") if r.offer.region != first])
        == ()
    )


def test_a_launch_that_succeeds_at_once_makes_calls_in_its_own_region_only(cloud, driver):
    machine, refusals = climb(driver)
    assert refusals == []
    assert {call["region"] for call in cloud.calls()} <= {machine.offer.region, driver.api.home}


def test_a_template_is_gone_when_the_driver_has_finished(cloud, driver):
    cloud.fault("slow", action="DeleteLaunchTemplate", seconds=0.3)
    machine, _ = climb(driver)
    assert cloud.client(region=machine.offer.region).describe_launch_templates()["LaunchTemplates"] == []


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded"])
def test_spot_refused_everywhere_costs_one_call_a_region(cloud, driver, code):
    cloud.fault(code, lifecycle="spot")
    machine, _ = climb(driver, spot=True)
    assert machine is None
    assert len(cloud.launches()) <= 13


@pytest.mark.parametrize("spot", [False, True])
def test_a_quota_of_nothing_costs_no_call(cloud, driver, spot):
    for code in ("L-417A185B", "L-7212CCBC", "L-C4BD4855"):
        cloud.quota(code, 0)
    machine, refusals = climb(driver, spot=spot)
    assert machine is None
    assert cloud.launches() == []
    assert {one.scope for one in refusals} == {Scope.REGION}
    assert all("is 0 vCPUs, and this machine needs 96. Request more at https://" in str(one) for one in refusals)


def test_the_ladder_ends_at_the_first_zone_that_has_a_machine(cloud, driver):
    cloud.fault("InsufficientInstanceCapacity", region="us-[!e]*")
    cloud.fault("InsufficientInstanceCapacity", region="??-[!n]*")
    machine, refusals = climb(driver)
    assert machine.offer.region not in {o.region for one in refusals for r in one.refusals for o in r.offers}
    assert len(cloud.launches()) == len(refusals) + 1


# Refusals


def test_one_call_tries_all_zones_and_takes_the_one_that_has_a_machine(cloud, driver):
    offers = batch(cloud)
    cloud.fault("InsufficientInstanceCapacity", zone=offers[0].zone)
    machine = driver.create(request("d-1-1", offers), SECRETS)
    assert machine.offer in offers[1:]
    assert len(cloud.launches()) == 1


def test_each_zone_s_refusal_names_its_own_offer(cloud, driver):
    one, two, *others = batch(cloud)
    cloud.fault("InsufficientInstanceCapacity", zone=one.zone)
    cloud.fault("Unsupported", zone=two.zone)
    error = refused(driver, request("d-1-1", (one, two)))
    assert {refusal.code: refusal.offers for refusal in error.refusals} == {
        "InsufficientInstanceCapacity": (one,),
        "Unsupported": (two,),
    }
    hinted = next(r.zones_with_capacity for r in error.refusals if r.code == "InsufficientInstanceCapacity")
    assert {offer.zone for offer in others} <= set(hinted)


def test_an_unknown_code_is_told_as_it_came(cloud, driver):
    cloud.fault("NeverHeardOf", message="The moon is in the wrong house.")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert str(error) == "NeverHeardOf: The moon is in the wrong house"
    assert error.scope is Scope.ZONE


@pytest.mark.parametrize(
    ("code", "scope", "mend"),
    [
        ("RequestLimitExceeded", Scope.BACK_OFF, "limits the rate"),
        ("UnauthorizedOperation", Scope.REGION, "Grant the permissions ec2:CreateFleet"),
        ("AuthFailure", Scope.CLOUD, "Set AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", Scope.CLOUD, "Log in again"),
    ],
)
def test_an_error_of_the_whole_call_is_a_refusal_with_its_mend(cloud, driver, code, scope, mend):
    cloud.fault(code, action="CreateFleet")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert (error.code, error.scope) == (code, scope)
    assert mend in str(error)
    assert len(cloud.launches()) == 1


def test_a_throttle_of_looking_things_up_is_not_a_launch(cloud, driver):
    cloud.fault("RequestLimitExceeded", action="DescribeSubnets")
    assert refused(driver, request("d-1-1", batch(cloud))).scope is Scope.BACK_OFF
    assert cloud.launches() == []


def test_a_quota_that_fits_the_smaller_machines_rules_out_only_the_larger_ones(cloud, driver):
    cloud.quota("L-417A185B", 16, "us-east-1")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert error.scope is Scope.ZONE
    assert cloud.launches() == []
    assert driver.create(request("d-1-2", batch(cloud, "p5.4xlarge")), SECRETS)


def test_offers_beyond_their_quota_are_left_out_of_a_batch_and_said(cloud, driver):
    cloud.quota("L-7212CCBC", 0)
    p4d, p5 = batch(cloud, spot=True), batch(cloud, "p5.48xlarge", spot=True)
    assert driver.create(request("d-1-1", (*p4d, *p5)), SECRETS).offer in p5
    cloud.fault("InsufficientInstanceCapacity")
    error = refused(driver, request("d-1-2", (*p4d, *p5)))
    assert {o for r in error.refusals for o in r.offers} == {*p4d, *p5}
    assert error.scope is Scope.REGION


def test_a_quota_that_may_not_be_read_is_no_hindrance(cloud, driver):
    cloud.fault("UnauthorizedOperation", action="GetServiceQuota")
    assert driver.create(request("d-1-1", batch(cloud)), SECRETS)


def test_a_quota_is_read_once_for_many_launches(cloud, driver):
    for number in range(3):
        driver.create(request(f"d-1-{number}", batch(cloud)), SECRETS)
    assert len(cloud.calls("GetServiceQuota")) == 1


# Answers that do not come


def test_an_answer_lost_after_the_effect_is_found_and_adopted(cloud, driver):
    asked = request("d-1-1", batch(cloud))
    cloud.fault("lost", times=1)
    with pytest.raises(DriverError) as error:
        driver.create(asked, SECRETS)
    assert not isinstance(error.value, Refused)
    machine = cloud.again().find(asked.token)
    assert cloud.again().create(asked, SECRETS) == machine
    assert len(instances(cloud)) == 1


@pytest.mark.parametrize("listed_after", [0, 2])
def test_a_repeated_call_without_machine_and_error_adopts_the_machine_of_the_first_one(cloud, driver, listed_after):
    asked = request("d-1-1", batch(cloud))
    cloud.fault("lost", times=1)
    cloud.fault("forgotten")
    cloud.fault("unlisted", seconds=listed_after)
    with pytest.raises(DriverError):
        driver.create(asked, SECRETS)
    machine = cloud.again().create(asked, SECRETS)
    assert [machine.id] == [instance["InstanceId"] for instance in instances(cloud)]


def test_a_repeated_call_without_machine_and_error_is_a_refusal_if_there_is_no_machine(cloud, driver, monkeypatch):
    asked = request("d-1-1", batch(cloud))
    cloud.fault("InsufficientInstanceCapacity", times=len(asked.offers))
    cloud.fault("forgotten")
    refused(driver, asked)
    monkeypatch.setattr("workers.clouds.aws.launch.VISIBLE_AFTER", (0.1, 0.1))
    assert refused(cloud.again(), asked).refusals[0].offers == asked.offers
    assert len(cloud.calls("DescribeInstances")) == 3


def test_a_machine_of_the_first_call_that_cannot_be_looked_for_is_no_refusal(cloud, driver):
    asked = request("d-1-1", batch(cloud))
    cloud.fault("lost", times=1)
    cloud.fault("forgotten")
    cloud.fault("UnauthorizedOperation", action="DescribeInstances")
    for one in (driver, cloud.again()):
        with pytest.raises(DriverError) as error:
            one.create(asked, SECRETS)
        assert not isinstance(error.value, Refused)


def test_a_launch_is_sent_once_only(cloud, driver):
    cloud.fault("InternalError", action="CreateFleet")
    with pytest.raises(DriverError):
        driver.create(request("d-1-1", batch(cloud)), SECRETS)
    assert len(cloud.launches()) == 1


def test_a_replay_whose_network_has_changed_adopts_the_machine(cloud, driver):
    asked = request("d-1-1", batch(cloud))
    machine = driver.create(asked, SECRETS)
    cloud.client().delete_subnet(SubnetId=_subnet(cloud, asked.offers[0].zone))
    again = cloud.again()
    assert again.create(asked, SECRETS).id == machine.id
    assert len(instances(cloud)) == 1


def _subnet(cloud, zone):
    found = cloud.client().describe_subnets()["Subnets"]
    return next(subnet["SubnetId"] for subnet in found if subnet["AvailabilityZoneId"] == zone)


@pytest.mark.parametrize("code", ["AuthFailure", "RequestLimitExceeded", "UnauthorizedOperation"])
def test_once_there_is_a_machine_no_error_passes_for_a_refusal(cloud, driver, code):
    asked = request("d-1-1", batch(cloud))
    cloud.fault(code, action="DescribeInstances")
    with pytest.raises(DriverError):
        driver.create(asked, SECRETS)
    cloud.mend()
    assert cloud.again().find(asked.token).token == asked.token


def test_a_server_error_that_nobody_knows_leaves_the_effect_open():
    error = AwsError("us-east-1", "NeverHeardOf", "It went wrong.", 500)
    assert error.uncertain
    assert not AwsError("us-east-1", "NeverHeardOf", "It went wrong.", 400).uncertain
    assert not AwsError("us-east-1", "InsufficientInstanceCapacity", "None.", 500).uncertain
    assert not AwsError("us-east-1", "RequestLimitExceeded", "Slow.", 503).uncertain


def test_a_machine_that_aws_gives_and_then_cannot_start_is_want_of_capacity(cloud, driver):
    cloud.machines.boot = lambda *_: 1 / 0
    error = refused(driver, request("d-1-1", offers := batch(cloud)))
    assert (error.code, error.scope) == ("InsufficientInstanceCapacity", Scope.ZONE)
    assert error.refusals[0].offers == offers


def test_a_machine_that_somebody_stopped_is_still_there_and_says_so(cloud, driver):
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.client().stop_instances(InstanceIds=[machine.id])
    (sighting,) = driver.owned(INSTALLATION)
    assert (sighting.presence, sighting.progress) == (Presence.RUNNING, "a user stopped the machine")


def test_an_unreachable_cloud_is_said_in_a_sentence(cloud):
    driver = AwsDriver({**cloud.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    with pytest.raises(DriverError, match="AWS cannot be reached in us-east-1"):
        driver.find(Token("d-1-1"))


# What is made


def test_the_machine_is_what_the_recipe_and_the_deadman_need(cloud, driver):
    with_disk = boot(disk_gib=300, disk_tier="high", port=8001)
    made = {}
    original = driver.api.call

    def spied(service, region, action, **asked):
        made[action] = asked
        return original(service, region, action, **asked)

    driver.api.call = spied
    machine = driver.create(request("d-1-1", batch(cloud), boot=with_disk), SECRETS)
    data = made["create_launch_template"]["LaunchTemplateData"]
    disk = data["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["VolumeSize"], disk["VolumeType"], disk["Iops"]) == (300, "gp3", 7000)
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
    assert base64.b64decode(data["UserData"]).startswith(b"#!/bin/bash")
    assert machine.address.endswith(":8001")
    tags = {tag["Key"]: tag["Value"] for tag in instances(cloud)[0]["Tags"]}
    assert {"mixtral-installation", "mixtral-deployment", "mixtral-replica", "mixtral-attempt"} < set(tags)
    assert tags["mixtral-token"] == "d-1-1"
    assert datetime.fromisoformat(tags["mixtral-expiry"]) > datetime.now(UTC)
    assert SECRETS["VLLM_API_KEY"] not in repr(tags)


@pytest.mark.parametrize("fault", [None, "InsufficientInstanceCapacity", "RequestLimitExceeded", "lost"])
def test_no_launch_template_outlives_its_call(cloud, driver, fault):
    if fault:
        cloud.fault(fault, action="CreateFleet")
    try:
        driver.create(request("d-1-1", batch(cloud)), SECRETS)
    except (Refused, DriverError):
        assert fault
    driver.finish()
    assert cloud.client().describe_launch_templates()["LaunchTemplates"] == []


def test_a_launch_template_that_a_crash_left_is_reaped(cloud, driver, monkeypatch):
    cloud.fault("UnauthorizedOperation", action="DeleteLaunchTemplate", times=1)
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    driver.finish()
    assert len(cloud.client().describe_launch_templates()["LaunchTemplates"]) == 1
    cloud.again().owned(INSTALLATION)
    assert len(cloud.client().describe_launch_templates()["LaunchTemplates"]) == 1
    monkeypatch.setattr("workers.clouds.aws.templates.LEFT_OVER_AFTER", timedelta(seconds=-1))
    cloud.again().owned("i-another")
    assert len(cloud.client().describe_launch_templates()["LaunchTemplates"]) == 1
    cloud.again().owned(INSTALLATION)
    assert cloud.client().describe_launch_templates()["LaunchTemplates"] == []


def opened(cloud, group):
    found = cloud.client().describe_security_groups(Filters=[{"Name": "group-name", "Values": [group]}])
    permissions = [p for one in found["SecurityGroups"] for p in one["IpPermissions"]]
    return len(found["SecurityGroups"]), {
        (p["IpProtocol"], p["FromPort"], p["ToPort"], r["CidrIp"]) for p in permissions for r in p["IpRanges"]
    }


def test_the_port_is_open_to_those_who_may_and_to_nobody_else(cloud, driver):
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    driver.create(request("d-1-2", batch(cloud)), SECRETS)
    cloud.again().create(request("d-1-3", batch(cloud)), SECRETS)
    assert opened(cloud, "mixtral-i-test-8000") == (1, {("tcp", 8000, 8000, "203.0.113.0/24")})
    narrowed = {**cloud.environ, "MIXTRAL_ALLOW_CIDRS": "198.51.100.7/32, 192.0.2.0/24"}
    AwsDriver(narrowed).create(request("d-1-4", batch(cloud)), SECRETS)
    allowed = {("tcp", 8000, 8000, "198.51.100.7/32"), ("tcp", 8000, 8000, "192.0.2.0/24")}
    assert opened(cloud, "mixtral-i-test-8000") == (1, allowed)


def test_a_rule_that_somebody_added_by_hand_is_closed(cloud, driver):
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    group = cloud.client().describe_security_groups(Filters=[{"Name": "group-name", "Values": ["mixtral-i-test-8000"]}])
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    id_ = group["SecurityGroups"][0]["GroupId"]
    cloud.client().authorize_security_group_ingress(GroupId=id_, IpPermissions=[rule])
    cloud.again().create(request("d-1-2", batch(cloud)), SECRETS)
    assert opened(cloud, "mixtral-i-test-8000") == (1, {("tcp", 8000, 8000, "203.0.113.0/24")})


def test_a_new_group_and_template_that_the_fleet_does_not_find_for_seconds_cost_nothing(cloud, driver):
    cloud.fault("unseen", seconds=2)
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    assert [i["InstanceId"] for i in instances(cloud)] == [machine.id]
    assert cloud.client().describe_launch_templates()["LaunchTemplates"] == []


def test_a_launch_that_was_repeated_for_a_new_group_replays_to_the_same_machine(cloud, driver):
    """The answer with the machine is lost, and its tags are not found: only the tokens lead to it."""
    cloud.fault("unseen", seconds=1)
    asked = request("d-1-1", batch(cloud))
    machine = driver.create(asked, SECRETS)
    assert cloud.again().create(asked, SECRETS).id == machine.id
    assert len(instances(cloud)) == 1


@pytest.mark.parametrize("code", ["InvalidGroup.NotFound", "InvalidLaunchTemplateName.NotFoundException"])
def test_a_group_or_template_that_never_appears_rules_out_nothing(cloud, driver, monkeypatch, code):
    monkeypatch.setattr(launch, "VISIBLE_AFTER", (0.0, 0.0))
    cloud.fault(code, message="It does not exist.")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert {one.scope for one in error.refusals} == {Scope.BACK_OFF}
    assert len(cloud.launches()) == 3
    cloud.mend()
    assert driver.create(request("d-1-2", batch(cloud)), SECRETS)


def test_after_an_exception_for_a_template_the_token_stays(cloud, driver):
    cloud.fault("InvalidLaunchTemplateId.NotFound", action="CreateFleet", times=2)
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    assert [i["InstanceId"] for i in instances(cloud)] == [machine.id]
    assert [token for _, _, token in cloud.server.cloud._answers] == ["d-1-1"]


def test_the_pauses_for_a_new_group_add_up_to_twenty_seconds():
    assert sum(launch.VISIBLE_AFTER) == 20


def test_an_image_parameter_that_is_missing_is_told_with_its_mend(cloud, driver, monkeypatch):
    monkeypatch.setattr(fleet, "IMAGE", "/aws/service/elsewhere")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert (error.code, error.scope) == ("ParameterNotFound", Scope.REGION)
    assert "image_id" in str(error)
    assert cloud.launches() == []


def test_a_security_group_that_was_deleted_is_made_again_at_the_next_launch(cloud, driver, monkeypatch):
    monkeypatch.setattr(launch, "VISIBLE_AFTER", (0.0,))
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    driver.terminate(machine.token)
    client = cloud.client()
    for group in client.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"].startswith("mixtral-"):
            client.delete_security_group(GroupId=group["GroupId"])
    assert refused(driver, request("d-1-2", batch(cloud))).code == "InvalidGroup.NotFound"
    assert driver.create(request("d-1-3", batch(cloud)), SECRETS)


# What becomes of machines


def test_a_spot_interruption_is_seen_as_that(cloud, driver):
    machine = driver.create(request("d-1-1", batch(cloud, spot=True)), SECRETS)
    assert machine.offer.spot
    cloud.end("d-1-1", "preempt")
    (sighting,) = cloud.again().owned(INSTALLATION)
    assert sighting.presence is Presence.PREEMPTED
    assert sighting.why == "preempted by AWS"


def test_a_machine_that_somebody_deleted_is_seen_as_ended(cloud, driver):
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.client().terminate_instances(InstanceIds=[machine.id])
    (sighting,) = driver.owned(INSTALLATION)
    assert (sighting.presence, sighting.why) == (Presence.ENDED, "ended on request")


def test_what_is_known_of_a_machine_is_forgotten_when_its_region_lists_it_no_more(cloud, driver, monkeypatch):
    regions = ("us-east-1", "us-west-2")
    for number, region in enumerate(regions):
        driver.create(request(f"d-1-{number}", batch(cloud, region=region)), SECRETS)
    addresses = {s.machine.id: s.machine.address for s in driver.owned(INSTALLATION)}
    for number in range(2):
        cloud.end(f"d-1-{number}", "preempt")
    assert {s.machine.id: s.machine.address for s in driver.owned(INSTALLATION)} == addresses
    cloud.fault("UnauthorizedOperation", region=regions[1], action="DescribeInstances")
    monkeypatch.setattr("workers.sandbox.ec2.lives.FORGOTTEN_AFTER", timedelta())
    until = time.monotonic() + 10 * PATIENCE
    while driver.owned(INSTALLATION).sightings:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert [region for region, _ in driver._instances.values()] == [regions[1]]  # it may still be there
    cloud.mend()
    driver.owned(INSTALLATION)
    assert (driver._instances, driver._addresses) == ({}, {})


def test_a_machine_in_a_region_that_no_price_names_is_listed_all_the_same(cloud):
    driver = AwsDriver(cloud.environ, lambda: ())
    cloud.driver.create(request("d-1-1", batch(cloud)), SECRETS)
    assert [s.machine.token for s in driver.owned(INSTALLATION)] == ["d-1-1"]
    assert [s.machine.token for s in driver.owned(INSTALLATION)] == ["d-1-1"]


def test_spot_prices_are_told_by_zone_id(cloud, driver):
    offer = next(o for o in batch(cloud, spot=True) if not o.doubtful)
    told = aws_spot(driver.api, [offer.instance_type], [offer.region])
    prices = {(p.zone, p.instance_type): p.usd_per_hour for p in told.quotes}
    assert prices[offer.zone, offer.instance_type] == offer.usd_per_hour


# What is wrong before any paid call


def without(cloud, **changes):
    return AwsDriver({key: value for key, value in (cloud.environ | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": None}, "no credentials found"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "AWS_SECRET_ACCESS_KEY is not"),
        ({"MIXTRAL_ALLOW_CIDRS": None}, "MIXTRAL_ALLOW_CIDRS is not set"),
        ({"MIXTRAL_ALLOW_CIDRS": "10.0.0.0/40"}, '"10.0.0.0/40"'),
        ({"MIXTRAL_ALLOW_CIDRS": "::/0"}, "no IPv4 network"),
    ],
)
def test_a_cloud_that_cannot_be_used_says_why_and_what_mends_it(cloud, changes, reason):
    status = without(cloud, **changes).status()
    assert not status.usable
    assert reason in status.reason
    assert status.mend
    assert cloud.calls() == []


def test_wrong_credentials_are_said_with_the_mend(cloud, driver):
    cloud.fault("AuthFailure")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert error.scope is Scope.CLOUD
    assert str(error).startswith("the credentials are wrong or have expired. Set AWS_ACCESS_KEY_ID")
    assert cloud.launches() == []
    (unlisted,) = driver.owned(INSTALLATION).unlisted
    assert unlisted.place == ""
    assert "Set AWS_ACCESS_KEY_ID" in unlisted.why


def test_a_region_without_a_default_network_is_said_with_the_mend(cloud, driver):
    client = cloud.client(region="us-east-2")
    for subnet in client.describe_subnets()["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])
    error = refused(driver, request("d-1-1", batch(cloud, region="us-east-2")))
    assert error.scope is Scope.REGION
    assert "Run `aws ec2 create-default-vpc --region us-east-2`" in str(error)
    assert cloud.launches() == []


def test_a_zone_without_a_subnet_is_left_out(cloud, driver):
    offers = batch(cloud)
    cloud.client().delete_subnet(SubnetId=_subnet(cloud, offers[0].zone))
    assert driver.create(request("d-1-1", offers), SECRETS).offer in offers[1:]
    error = refused(driver, request("d-1-2", offers[:1]))
    assert offers[0].zone in str(error)
    assert error.scope is Scope.ZONE


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        ("us-esat-1", "AWS has no region us-esat-1. Correct the region in the recipe or the price table: did you mean"),
        ("af-south-2", "AWS has no region af-south-2"),
        ("me-south-1", "The AWS account has not enabled the region me-south-1"),
    ],
)
def test_a_region_that_does_not_exist_is_said(cloud, driver, region, sentence):
    offer = msgspec.structs.replace(batch(cloud)[0], region=region)
    error = refused(driver, request("d-1-1", (offer,)))
    assert sentence in str(error)
    assert error.scope is Scope.REGION
    assert cloud.launches() == []


def test_a_home_region_that_does_not_exist_is_said(cloud):
    driver = without(cloud, AWS_REGION="us-esat-1")
    with pytest.raises(DriverError, match=r"no region us-esat-1\. Correct AWS_REGION"):
        driver.find(Token("d-1-1"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"port": 70000}, "70000 is not a port"),
        ({"image": "projects/x/global/images/y"}, "is not an image of AWS"),
    ],
)
def test_a_recipe_that_no_call_could_serve_is_refused_without_one(cloud, driver, changes, said):
    error = refused(driver, request("d-1-1", batch(cloud), boot=boot(**changes)))
    assert said in str(error)
    assert cloud.calls() == []


def test_an_image_that_does_not_exist_is_said(cloud, driver):
    asked = request("d-1-1", batch(cloud), boot=boot(image="ami-00000000000000000"))
    assert "Name an image of us-east-1" in str(refused(driver, asked))
    assert cloud.launches() == []


def test_without_allowed_networks_nothing_is_asked(cloud):
    error = refused(without(cloud, MIXTRAL_ALLOW_CIDRS=None), request("d-1-1", batch(cloud)))
    assert "MIXTRAL_ALLOW_CIDRS is not set" in str(error)
    assert cloud.calls() == []


def test_a_type_that_does_not_tell_its_newest_lines_tells_those_that_were_kept(cloud):
    machine = cloud.driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.printed(machine.token)
    cloud.fault("UnsupportedOperation", action="GetConsoleOutput", times=1)
    assert "line 29" in cloud.driver.log(machine.token, 3)


def test_a_machine_has_a_public_address_also_where_the_subnets_give_none(cloud, driver):
    ec2 = cloud.client()
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.modify_subnet_attribute(SubnetId=subnet["SubnetId"], MapPublicIpOnLaunch={"Value": False})
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    assert machine.address is not None
    assert machine.address.startswith("http://127.")
    assert instances(cloud)[0]["SecurityGroups"][0]["GroupName"].startswith("mixtral-")


def test_a_disk_is_never_smaller_than_the_image_of_the_region(cloud, driver):
    driver.create(request("d-1-1", batch(cloud), boot=boot(disk_gib=8)), SECRETS)
    (volume,) = cloud.client().describe_volumes()["Volumes"]
    assert volume["Size"] == 75


# What is prepared while a request is made


def following(cloud, driver):
    """Request in us-east-1, which takes until the request that is expected in us-west-2 is prepared. Returns that."""
    expected = request("d-1-2", batch(cloud, region="us-west-2"))
    ladder = tuple(rung.offer for rung in rungs("aws") if rung.offer.region != "us-east-1")
    driver.expect(request("d-1-1", batch(cloud)), Ahead(ladder=ladder, request=expected, secrets=SECRETS))
    inner = driver.api.launch

    def held(*given, **fields):
        if (ahead := driver._launch._templates._ahead.get(expected.token)) is not None:
            ahead.ended.wait()
        return inner(*given, **fields)

    driver.api.launch = held
    with contextlib.suppress(Refused):
        driver.create(request("d-1-1", batch(cloud)), SECRETS)
    driver.api.launch = inner
    return expected


@pytest.fixture
def slow(monkeypatch):
    """Any time that the reads of a region take counts as that of a slow AWS."""
    monkeypatch.setattr(regions, "SLOW", 0.0)


def actions(cloud, region):
    return [call["action"] for call in cloud.calls() if call["region"] == region]


@pytest.mark.usefixtures("slow")
def test_the_request_that_was_expected_is_one_call(cloud, driver):
    cloud.fault("InsufficientInstanceCapacity", region="us-east-1")
    expected = following(cloud, driver)
    cloud.forget_calls()
    assert driver.create(expected, SECRETS).token == expected.token
    driver.finish()
    assert "CreateFleet" in actions(cloud, "us-west-2")
    assert {"CreateLaunchTemplate", *GROUNDWORK}.isdisjoint(actions(cloud, "us-west-2"))
    assert cloud.templates("us-west-2") == []


@pytest.mark.usefixtures("slow")
def test_a_template_that_was_made_ahead_and_not_used_is_deleted(cloud, driver):
    following(cloud, driver)
    driver.finish()
    assert "CreateLaunchTemplate" in actions(cloud, "us-west-2")
    assert cloud.templates("us-east-1") == cloud.templates("us-west-2") == []


@pytest.mark.usefixtures("slow")
def test_a_template_that_could_not_be_made_ahead_is_made_by_the_request(cloud, driver):
    cloud.fault("InsufficientInstanceCapacity", region="us-east-1")
    cloud.fault("InternalError", region="us-west-2", action="CreateLaunchTemplate")
    expected = following(cloud, driver)
    cloud.mend()
    cloud.forget_calls()
    assert driver.create(expected, SECRETS).token == expected.token
    assert len(cloud.launches()) == 1


@pytest.mark.usefixtures("slow")
def test_nothing_is_made_ahead_where_no_launch_can_succeed(cloud, driver):
    cloud.quota("L-417A185B", 0, region="us-west-2")
    following(cloud, driver)
    driver.finish()
    while any(thread.name.startswith("region") for thread in threading.enumerate()):
        time.sleep(0.01)
    made = {"CreateLaunchTemplate", "CreateSecurityGroup", "DeleteLaunchTemplate"}
    assert made.isdisjoint(actions(cloud, "us-west-2"))


def test_on_a_quick_aws_a_request_that_is_not_refused_makes_no_call_elsewhere(cloud, driver, monkeypatch):
    monkeypatch.setattr(regions, "SLOW", 600.0)
    following(cloud, driver)
    driver.finish()
    assert actions(cloud, "us-west-2") == []


def test_no_machine_is_requested_while_the_rules_of_its_group_cannot_be_set(cloud, driver):
    cloud.fault("UnauthorizedOperation", action="AuthorizeSecurityGroupIngress")
    error = refused(driver, request("d-1-1", batch(cloud)))
    assert error.code == "UnauthorizedOperation"
    assert cloud.launches() == []
    cloud.mend()
    assert driver.create(request("d-1-2", batch(cloud)), SECRETS)


def test_the_template_is_made_while_the_rules_of_a_new_group_are_set(cloud, driver):
    slow = 0.5 * PATIENCE
    for action in ("AuthorizeSecurityGroupIngress", "CreateLaunchTemplate"):
        cloud.fault("slow", action=action, seconds=slow)
    counting = AtOnce(driver.api.call)
    driver.api.call = lambda service, region, action, **fields: (
        counting if action in ("authorize_security_group_ingress", "create_launch_template") else counting._call
    )(service, region, action, **fields)
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    assert counting.most == 2


@pytest.mark.usefixtures("slow")
def test_a_region_that_does_not_answer_keeps_the_end_of_a_search_for_no_time(cloud, driver):
    """Its template is not begun, so there is none to delete."""
    held = threading.Event()
    inner = driver.api.call

    def call(service, region, action, **fields):
        if region == "us-west-2":
            held.wait()
        return inner(service, region, action, **fields)

    driver.api.call = call
    expected = request("d-1-2", batch(cloud, region="us-west-2"))
    driver.expect(request("d-1-1", batch(cloud)), Ahead(ladder=(), request=expected, secrets=SECRETS))
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    ahead = driver._launch._templates._ahead[expected.token]
    driver.finish()
    assert not ahead.ended.is_set()
    held.set()
    ahead.ended.wait()
    assert "CreateLaunchTemplate" not in actions(cloud, "us-west-2")


@pytest.mark.usefixtures("slow")
def test_a_template_that_was_made_ahead_for_another_request_is_not_used(cloud, driver):
    """Two requests have the same token by chance: no machine is made with the content of the other one."""
    cloud.fault("InsufficientInstanceCapacity", region="us-east-1")
    expected = following(cloud, driver)
    error = refused(driver, replace(expected, replica=7))
    assert error.code == "IdempotentParameterMismatch"
    assert instances(cloud, "us-west-2") == []


@pytest.mark.usefixtures("slow")
def test_a_template_that_was_made_ahead_and_has_vanished_is_made_again(cloud, driver):
    cloud.fault("InsufficientInstanceCapacity", region="us-east-1")
    expected = following(cloud, driver)
    (made,) = cloud.templates("us-west-2")
    cloud.client(region="us-west-2").delete_launch_template(LaunchTemplateName=made["LaunchTemplateName"])
    machine = driver.create(expected, SECRETS)
    assert [found["InstanceId"] for found in instances(cloud, "us-west-2")] == [machine.id]


def test_a_region_whose_group_cannot_be_opened_is_without_hope(cloud, driver):
    cloud.fault("InsufficientInstanceCapacity", region="us-east-1")
    cloud.fault("UnauthorizedOperation", region="us-west-2", action="AuthorizeSecurityGroupIngress")
    (hopeless,) = driver.hopeless(request("d-1-1", batch(cloud)), batch(cloud, region="us-west-2"))
    assert hopeless.code == "UnauthorizedOperation"


def test_rules_for_sources_that_have_changed_meanwhile_are_closed(cloud, driver):
    """The rules for the former ones are still being set when those for the new ones are."""
    slowly, inner = threading.Event(), driver.api.call

    def call(service, region, action, **fields):
        if action == "authorize_security_group_ingress" and "203.0.113.0/24" in str(fields):
            slowly.wait()
        return inner(service, region, action, **fields)

    driver.api.call = call
    network = driver._launch.network
    where = "us-east-1", "i-test", 8000
    former = network.group(*where, ("203.0.113.0/24",), None)
    threading.Timer(0.3, slowly.set).start()
    network.group(*where, ("198.51.100.0/24",), network.look(*where)).opened.result()
    former.opened.result()
    assert opened(cloud, "mixtral-i-test-8000") == (1, {("tcp", 8000, 8000, "198.51.100.0/24")})


def test_a_region_that_is_not_enabled_is_asked_nothing(cloud, driver):
    """Its calls would fail as if the credentials were wrong, and those would be read again."""
    elsewhere = tuple(replace(offer, region="me-south-1") for offer in batch(cloud))
    error = refused(driver, request("d-1-1", elsewhere))
    assert error.code == "NoSuchRegion"
    assert actions(cloud, "me-south-1") == []


def test_what_was_expected_of_a_request_that_no_call_can_satisfy_is_forgotten(cloud, driver):
    asked = request("d-1-1", batch(cloud), boot=boot(port=70_000))
    driver.expect(asked, Ahead(ladder=(), secrets=SECRETS))
    refused(driver, asked)
    assert driver._launch._expected == {}
