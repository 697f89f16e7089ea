"""The GCP driver where a zone cannot be reached, or the credentials have expired."""

import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.builders.machines import INSTALLATION, SECRETS, request
from tests.fakes.gcp import GcpCloud
from tests.patience import PATIENCE
from workers.clouds.driver import DriverError
from workers.machines import ANYWHERE, Presence, Token, Whereabouts, whereabouts

HERE, SILENT = "us-central1-a", "us-central1-c"


@pytest.fixture
def cloud():
    cloud = GcpCloud()
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def made(cloud, token, zone):
    (offer,) = [o for o in cloud.offers() if (o.instance_type, o.zone) == ("a2-ultragpu-2g", zone)]
    return cloud.driver.create(request(token, (offer,)), SECRETS)


def test_a_zone_that_cannot_be_reached_is_missing_from_the_list_alone(cloud, driver):
    here, there = made(cloud, "d1-1", HERE), made(cloud, "d1-2", SILENT)
    cloud.fault("unreachable", zone=SILENT)
    listing = driver.owned(INSTALLATION)
    assert [s.machine.token for s in listing] == [here.token]
    assert [one.place for one in listing.unlisted] == [SILENT]
    assert "cannot be reached" in listing.unlisted[0].why
    assert [s.machine.token for s in driver.owned(INSTALLATION, HERE)] == [here.token]
    assert [one.place for one in driver.owned(INSTALLATION, SILENT).unlisted] == [SILENT]
    cloud.mend()
    running = {s.machine.token for s in driver.owned(INSTALLATION) if s.presence is Presence.RUNNING}
    assert running == {here.token, there.token}


def test_a_stopped_machine_that_gcp_does_not_delete_hides_no_other(cloud, driver, monkeypatch):
    (offer,) = [o for o in cloud.offers() if (o.instance_type, o.zone) == ("a2-ultragpu-2g", SILENT)]
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    stopped = driver.create(msgspec.structs.replace(request("d1-2", (offer,)), expires_at=soon), SECRETS)
    here = made(cloud, "d1-1", HERE)
    monkeypatch.setattr("workers.clouds.gcp.ended_machines.STOPPED_FOR", timedelta(0))
    cloud.fault("forbidden", method="instances.delete")
    until = time.monotonic() + 10 * PATIENCE
    while time.monotonic() < until and not cloud.calls("instances.delete"):
        found = {s.machine.token: s.presence for s in driver.owned(INSTALLATION)}
    assert cloud.calls("instances.delete")
    assert found == {here.token: Presence.RUNNING, stopped.token: Presence.ENDED}


@pytest.mark.parametrize("known", ["its place and id", "its region", "nothing"])
def test_a_zone_that_cannot_be_reached_does_not_hold_up_the_end_in_another(cloud, known):
    machine = made(cloud, "d1-1", HERE)
    cloud.fault("unreachable", zone=SILENT)
    where = {"its place and id": whereabouts(machine), "its region": Whereabouts(region="us-central1")}
    cloud.again().extend(machine.token, datetime.now(UTC) + timedelta(hours=1), where.get(known, ANYWHERE))
    driver = cloud.again()
    driver.terminate(machine.token, where.get(known, ANYWHERE))
    assert [call["zone"] for call in cloud.calls("instances.delete")] == [HERE]


def test_a_machine_that_may_be_in_a_zone_that_cannot_be_reached_is_not_missing(cloud, driver):
    cloud.fault("unreachable", zone=SILENT)
    with pytest.raises(DriverError, match="where mixtral-d1-9 may be"):
        driver.terminate(Token("d1-9"), Whereabouts(region="us-central1"))
    assert driver.find(Token("d1-9"), Whereabouts(region="europe-west4")) is None


@pytest.mark.parametrize("method", ["instances.list", "instances.aggregatedList", "instances.get", "instances.delete"])
def test_credentials_that_expired_are_read_again_and_the_call_is_repeated_once(cloud, driver, method):
    machine = made(cloud, "d1-1", HERE)
    cloud.fault("authError", method=method, times=1)
    assert driver.owned(INSTALLATION).unlisted == ()
    assert driver.owned(INSTALLATION, HERE).unlisted == ()
    driver.terminate(machine.token, whereabouts(machine))
    cloud.fault("authError")
    before = len(cloud.calls())
    assert driver.owned(INSTALLATION, HERE).unlisted
    assert len(cloud.calls()) == before + 2
