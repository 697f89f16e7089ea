"""The drivers' one contract, kept by the GCP driver on its stand-in; where GCE forgets, it says so."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests import loopback
from tests.builders.machines import INSTALLATION, SECRETS
from tests.contract import test_drivers as suite
from tests.fakes.gcp import GcpCloud
from tests.patience import PATIENCE
from workers.clouds.gcp.driver import GcpDriver
from workers.machines import Presence, Token

GCE_FORGETS = {
    "test_a_create_that_comes_after_the_end_makes_no_new_machine",
    "test_a_machine_that_breaks_is_seen_as_ended_with_the_reason",
    "test_the_end_of_a_log_can_be_read_also_after_the_machine_s_end",
}

globals().update(
    {name: test for name, test in vars(suite).items() if name.startswith("test_") and name not in GCE_FORGETS}
)


class Selling(GcpDriver):
    """Sells what the price table has, so that the suite finds something to ask for."""

    def offers(self):
        return GcpCloud.offers(None)


@pytest.fixture
def cloud():
    cloud = GcpCloud()
    cloud.driver = Selling(cloud.environ)
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def test_a_create_that_comes_after_the_end_makes_no_new_machine(cloud, driver):
    driver.create(asked_for := suite.asked(driver), SECRETS)
    driver.terminate(asked_for.token)
    suite.comes(lambda: not list(cloud.again().owned(INSTALLATION)))
    driver.create(asked_for, SECRETS)
    cloud.again().create(asked_for, SECRETS)
    assert suite.running(cloud.again()) == []
    assert suite.seen(driver, asked_for.token).presence is Presence.ENDED


def test_a_machine_that_was_ended_before_it_was_made_is_made_and_listed_for_the_reaper(driver):
    driver.terminate((asked_for := suite.asked(driver)).token)
    driver.create(asked_for, SECRETS)
    assert [s.machine.token for s in suite.running(driver)] == [asked_for.token]


def test_a_machine_that_breaks_is_seen_as_ended_with_the_reason(cloud, driver):
    machine = driver.create(asked_for := suite.asked(driver), SECRETS)
    cloud.break_machine(machine.token)
    assert suite.comes(lambda: suite.seen(driver, machine.token).presence is Presence.ENDED)
    assert suite.seen(driver, machine.token).why == "stopped"
    assert driver.create(asked_for, SECRETS).token == asked_for.token
    assert suite.running(driver) == []


def test_the_cloud_tells_when_a_machine_was_deleted_also_if_the_deletion_takes_a_while(cloud, driver):
    machine = driver.create(suite.asked(driver), SECRETS)
    other = cloud.again()
    assert suite.seen(other, machine.token).ended_at is None
    kill, may_end = cloud.machines.kill, threading.Event()
    cloud.machines.kill = lambda id_: may_end.wait(10 * PATIENCE) and kill(id_)
    driver.terminate(machine.token)
    stopping = suite.comes(lambda: (s := suite.seen(other, machine.token)).presence is Presence.ENDED and s)
    assert stopping.ended_at is None
    asked_at = datetime.now(UTC)
    may_end.set()
    told = suite.comes(lambda: suite.seen(other, machine.token).ended_at)
    assert abs(told - asked_at) < timedelta(seconds=5 * PATIENCE)


@pytest.mark.parametrize(("fate", "preempted"), [("preempt", True), ("delete", False)])
def test_who_never_saw_a_machine_is_told_how_it_ended(cloud, driver, fate, preempted):
    machine = driver.create(suite.asked(driver), SECRETS)
    other = cloud.again()
    assert other.end_of(machine) is None
    loopback.post(f"{cloud.server.url}/sandbox/instances/{machine.id}/{fate}").raise_for_status()
    suite.comes(lambda: other.end_of(machine))
    assert other.end_of(machine).preempted is preempted
    assert suite.comes(lambda: other.end_of(machine).ended_at) >= machine.created_at
    assert list(cloud.again().owned(INSTALLATION)) == []


def test_the_end_of_a_log_can_be_read_while_the_machine_is_there(cloud, driver):
    machine = driver.create(suite.asked(driver), SECRETS)
    cloud.printed(machine.token)
    assert driver.log(machine.token, 3).splitlines() == ["line 27", "line 28", "line 29"]
    driver.terminate(machine.token)
    suite.comes(lambda: driver.log(machine.token, 3) == "")
    assert driver.log(Token("d-9-9"), 3) == ""
