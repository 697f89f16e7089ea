"""The drivers' one contract, kept by the AWS driver on its stand-in."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.machines import SECRETS
from tests.contract import test_drivers as suite
from tests.fakes.aws import AwsCloud
from workers.clouds.aws.driver import AwsDriver
from workers.machines import Presence

OTHERWISE = {
    "test_a_create_that_comes_after_the_end_makes_no_new_machine",  # before it was made, EC2 has nothing to mark
    "test_a_machine_that_breaks_is_seen_as_ended_with_the_reason",  # what was asked for is known to the log alone
    "test_a_machine_lives_on_when_it_is_told_to",  # a process that starts asks every region: that takes a while
}

globals().update(
    {name: test for name, test in vars(suite).items() if name.startswith("test_") and name not in OTHERWISE}
)


class Selling(AwsDriver):
    """Sells what the price table has, so that the suite finds something to ask for."""

    def offers(self):
        return AwsCloud.offers(None)


@pytest.fixture
def cloud():
    cloud = AwsCloud()
    cloud.driver = Selling(cloud.environ)
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def test_a_create_that_comes_after_the_end_makes_no_new_machine(cloud, driver):
    driver.create(asked_for := suite.asked(driver), SECRETS)
    driver.terminate(asked_for.token)
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
    assert suite.seen(driver, machine.token).why == "shut down from inside"
    assert driver.create(asked_for, SECRETS).token == asked_for.token
    assert suite.running(driver) == []


def test_ec2_tells_when_a_machine_was_ended_by_a_call_and_not_when_it_was_preempted(cloud, driver):
    ended, preempted = (driver.create(suite.asked(driver, token=token), SECRETS) for token in ("d-1-2", "d-1-3"))
    assert suite.seen(driver, ended.token).ended_at is None
    before = datetime.now(UTC).replace(microsecond=0)
    driver.terminate(ended.token)
    cloud.end(preempted.token, "preempt")
    assert before <= suite.comes(lambda: suite.seen(driver, ended.token).ended_at) <= datetime.now(UTC)
    seen = suite.comes(lambda: (s := suite.seen(driver, preempted.token)).presence is Presence.PREEMPTED and s)
    assert seen.ended_at is None


def test_a_machine_lives_on_when_it_is_told_to(cloud, driver):
    soon = datetime.now(UTC) + timedelta(seconds=15)
    machine = driver.create(suite.asked(driver, expires_at=soon), SECRETS)
    cloud.again().extend(machine.token, datetime.now(UTC) + timedelta(hours=1))
    cloud.wait(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.6)
    assert suite.seen(driver, machine.token).presence is Presence.RUNNING
