"""The AWS driver where a part fails: a region, a page, a home region, credentials, the end of one machine."""

from datetime import UTC, datetime, timedelta

import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from tests.builders.machines import INSTALLATION, SECRETS, request
from tests.fakes.aws import KEYS, AwsCloud
from workers.clouds.aws.driver import AwsDriver
from workers.clouds.driver import DriverError
from workers.machines import ANYWHERE, Presence, Token, Whereabouts, whereabouts
from workers.placement import catalog

REGIONS = ("us-east-1", "us-east-2", "eu-central-1")
"""Regions that the account has enabled. A list makes a client for each, which takes 0.1 s."""


@pytest.fixture
def cloud(monkeypatch):
    some = [region for region in RegionsAndZonesBackend.regions if region.name in REGIONS]
    monkeypatch.setattr(RegionsAndZonesBackend, "regions", some)
    cloud = AwsCloud()
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def priced():
    return [offer for offer in catalog.load() if offer.region in REGIONS]


def batch(cloud, type_="p4d.24xlarge", region="us-east-1"):
    return tuple(o for o in cloud.offers() if (o.instance_type, o.region) == (type_, region))


@pytest.mark.parametrize("code", ["Unavailable", "UnauthorizedOperation"])
def test_a_region_that_fails_is_missing_from_the_list_alone(cloud, driver, code):
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.fault(code, action="DescribeInstances", region="eu-central-1")
    listing = driver.owned(INSTALLATION)
    assert [s.machine.token for s in listing] == ["d-1-1"]
    assert [one.place for one in listing.unlisted] == ["eu-central-1"]
    assert code in listing.unlisted[0].why
    assert driver.owned(INSTALLATION, "us-east-1").unlisted == ()
    assert driver.owned(INSTALLATION, "eu-central-1").sightings == ()


def test_a_list_that_breaks_off_shows_what_it_read_and_says_that_more_may_be_there(cloud, driver, monkeypatch):
    for number in range(3):
        driver.create(request(f"d-1-{number}", batch(cloud)), SECRETS)
    monkeypatch.setattr("workers.clouds.aws.client.PAGE", 5)
    cloud.fault("UnauthorizedOperation", action="DescribeInstances", later_pages=True)
    assert [one.place for one in driver.owned(INSTALLATION, "us-east-1").unlisted] == []
    for number in range(3, 9):
        driver.create(request(f"d-1-{number}", batch(cloud)), SECRETS)
    listing = driver.owned(INSTALLATION, "us-east-1")
    assert len(listing.sightings) == 5
    assert [one.place for one in listing.unlisted] == ["us-east-1"]


def test_a_home_region_that_fails_hides_no_machine_elsewhere(cloud):
    """The list of the account's regions is a call to the home region."""
    cloud.driver.create(request("d-1-1", batch(cloud, region="us-east-2")), SECRETS)
    cloud.fault("UnauthorizedOperation", action="*", region="us-east-1")
    driver = AwsDriver(cloud.environ, priced)
    listing = driver.owned(INSTALLATION)
    assert [s.machine.token for s in listing] == ["d-1-1"]
    assert {one.place for one in listing.unlisted} == {"", "us-east-1"}
    assert driver.find(Token("d-1-1")).token == "d-1-1"
    with pytest.raises(DriverError):
        driver.find(Token("d-9-9"))  # it may be in the region that fails


@pytest.mark.parametrize("known", ["its place and id", "its region", "nothing"])
def test_a_region_that_fails_does_not_hold_up_the_end_in_another(cloud, known):
    machine = cloud.driver.create(request("d-1-1", batch(cloud, region="us-east-2")), SECRETS)
    cloud.fault("UnauthorizedOperation", action="*", region="eu-central-1")
    where = {"its place and id": whereabouts(machine), "its region": Whereabouts(region="us-east-2")}
    cloud.forget_calls()
    cloud.again().extend(machine.token, datetime.now(UTC) + timedelta(hours=1), where.get(known, ANYWHERE))
    cloud.again().terminate(machine.token, where.get(known, ANYWHERE))
    (sighting,) = cloud.again().owned(INSTALLATION, "us-east-2")
    assert sighting.presence is Presence.ENDED
    if known != "nothing":
        assert {call["region"] for call in cloud.calls()} == {"us-east-2"}


def rewritten(file, key):
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = of-a-test\n")


@pytest.mark.parametrize("code", ["ExpiredToken", "AuthFailure"])
def test_credentials_that_were_rewritten_on_disk_are_used_without_a_restart(cloud, tmp_path, monkeypatch, code):
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    environ = {key: value for key, value in cloud.environ.items() if key not in KEYS}
    rewritten(file, "AKIAOLD")
    driver = AwsDriver(environ)
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.fault(code, action="*", key="AKIAOLD")
    assert driver.owned(INSTALLATION).unlisted  # not rewritten yet
    with pytest.raises(DriverError):
        driver.extend(machine.token, datetime.now(UTC) + timedelta(hours=1))
    rewritten(file, "AKIANEW")
    driver.extend(machine.token, datetime.now(UTC) + timedelta(hours=1))
    listing = driver.owned(INSTALLATION)
    assert [s.machine.token for s in listing] == ["d-1-1"]
    assert listing.unlisted == ()
    driver.terminate(machine.token)


def test_credentials_that_stay_wrong_cost_no_second_call(cloud, driver):
    driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.fault("ExpiredToken")
    cloud.forget_calls()
    with pytest.raises(DriverError):
        driver.terminate(Token("d-1-1"))
    assert len(cloud.calls("TerminateInstances")) == 1


def test_a_machine_that_is_protected_from_its_end_says_so_with_the_mend(cloud, driver):
    machine = driver.create(request("d-1-1", batch(cloud)), SECRETS)
    cloud.fault("OperationNotPermitted", action="TerminateInstances")
    with pytest.raises(DriverError, match=r"disableApiTermination.* Remove the instance's termination protection"):
        driver.terminate(machine.token, whereabouts(machine))
