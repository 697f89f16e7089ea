"""A request as EC2's parameters, and a fleet's answer as refusals."""

import msgspec
import pytest

from tests.builders.machines import boot, request
from tests.fakes.aws import AwsCloud
from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws import quota as aws_quota
from workers.machines import Token
from workers.placement.refusals import Scope

OFFERS = tuple(
    offer for offer in AwsCloud.offers(None) if (offer.instance_type, offer.region) == ("p4d.24xlarge", "us-east-1")
)
SUBNETS = {offer.zone: f"subnet-{offer.zone}" for offer in OFFERS}
ZONES = {"us-east-1a": "use1-az6", "us-east-1b": "use1-az1", "us-east-1c": "use1-az2", "us-east-1d": "use1-az4"}


def said(offer, code, text=""):
    overrides = {"InstanceType": offer.instance_type, "SubnetId": SUBNETS[offer.zone]}
    return {"ErrorCode": code, "ErrorMessage": text, "LaunchTemplateAndOverrides": {"Overrides": overrides}}


def refusals(*errors):
    return aws_fleet.refusals({"Errors": list(errors), "Instances": []}, OFFERS, SUBNETS, ZONES)


def test_a_fleet_asks_for_one_machine_in_any_zone_of_its_offers():
    asked = aws_fleet.fleet(request("d-1-1", OFFERS), OFFERS, SUBNETS)
    assert asked["Type"] == "instant"
    assert asked["OnDemandOptions"] == {"AllocationStrategy": "lowest-price"}
    assert asked["TargetCapacitySpecification"]["TotalTargetCapacity"] == 1
    assert [o["SubnetId"] for o in asked["LaunchTemplateConfigs"][0]["Overrides"]] == list(SUBNETS.values())


def template(**changes):
    image = aws_fleet.Ami(id="ami-1", gib=75)
    asked = request("d-1-1", OFFERS, boot=boot(**changes))
    return aws_fleet.template(asked, image=image, group="sg-1", user_data="#!/bin/bash")


def test_a_machine_asks_for_a_public_address_on_the_interface_that_has_the_group():
    (link,) = template()["NetworkInterfaces"]
    assert link == {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": True,
        "Groups": ["sg-1"],
        "DeleteOnTermination": True,
    }
    assert "SecurityGroupIds" not in template()


@pytest.mark.parametrize(("wanted", "gib"), [(None, 256), (20, 75), (512, 512)])
def test_a_disk_is_never_smaller_than_the_image(wanted, gib):
    (disk,) = template(disk_gib=wanted)["BlockDeviceMappings"]
    assert disk["Ebs"]["VolumeSize"] == gib


def test_a_spot_fleet_weighs_price_against_capacity():
    spot = tuple(msgspec.structs.replace(offer, spot=True) for offer in OFFERS)
    asked = aws_fleet.fleet(request("d-1-1", spot), spot, SUBNETS)
    assert asked["SpotOptions"] == {"AllocationStrategy": "price-capacity-optimized"}
    assert asked["TargetCapacitySpecification"]["DefaultTargetCapacityType"] == "spot"


@pytest.mark.parametrize("token", ["d-1-1", "d" * 65, "d-ü"])
def test_every_token_becomes_one_that_ec2_takes(token):
    found = aws_fleet.client_token(Token(token))
    assert len(found) <= 64
    assert found.isascii()
    assert found == aws_fleet.client_token(Token(token))


def test_no_tag_is_longer_than_ec2_takes():
    asked = request("d-1-1", OFFERS, deployment="d" * 300)
    assert all(len(tag["Value"]) <= 256 for tag in aws_fleet.tags(asked))


def test_another_request_with_the_same_token_has_another_fingerprint():
    one, two = request("d-1-1", OFFERS), request("d-1-1", OFFERS, boot=boot(model="other"))
    assert aws_fleet.fingerprint(one) != aws_fleet.fingerprint(two)


def test_the_same_error_of_several_zones_is_told_once():
    (found,) = refusals(*(said(offer, "InsufficientInstanceCapacity", "none") for offer in OFFERS))
    assert found.offers == OFFERS
    assert found.scope is Scope.ZONE


def test_an_error_that_names_no_zone_is_about_all():
    (found,) = refusals({"ErrorCode": "VcpuLimitExceeded", "ErrorMessage": "You have requested more."})
    assert found.offers == OFFERS
    assert found.scope is Scope.REGION
    assert "Request more vCPUs at https://" in found.sentence


def test_zones_that_the_error_recommends_are_told_by_their_ids():
    text = "You can currently get p4d.24xlarge capacity by … or choosing us-east-1b, us-east-1d."
    (found,) = refusals(said(OFFERS[0], "InsufficientInstanceCapacity", text))
    assert found.zones_with_capacity == ("use1-az1", "use1-az4")


def test_a_fleet_without_machine_and_error_is_want_of_capacity():
    (found,) = refusals()
    assert found.offers == OFFERS
    assert found.scope is Scope.ZONE


def test_a_machine_counts_however_many_errors_stand_beside_it():
    answer = {"Errors": [said(OFFERS[0], "InsufficientInstanceCapacity")], "Instances": [{"InstanceIds": ["i-1"]}]}
    assert aws_fleet.launched(answer) == "i-1"
    assert aws_fleet.launched({"Errors": []}) is None


@pytest.mark.parametrize(
    ("type_", "spot", "code"),
    [
        ("p4d.24xlarge", False, "L-417A185B"),
        ("p5.48xlarge", False, "L-417A185B"),
        ("p4de.24xlarge", True, "L-7212CCBC"),
        ("p5en.48xlarge", True, "L-C4BD4855"),
        ("p6-b200.48xlarge", True, None),
        ("g5.xlarge", False, "L-DB2E81BA"),
        ("g6e.48xlarge", True, "L-3819A6DF"),
        ("m7i.large", False, None),
    ],
)
def test_a_machine_counts_against_its_family_s_quota(type_, spot, code):
    assert aws_quota.code_of(type_, spot=spot) == code
