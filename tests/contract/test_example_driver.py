"""The example of docs/how-to/write-a-cloud-driver.md keeps the drivers' contract."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from docs.examples import folder_cloud
from docs.examples.folder_cloud import FolderDriver
from tests.builders.machines import SECRETS
from tests.contract import test_drivers as suite
from workers.clouds.driver import Driver
from workers.machines import MachineEnd, Presence

OWN = {"test_a_machine_that_breaks_is_seen_as_ended_with_the_reason"}
globals().update({name: test for name, test in vars(suite).items() if name.startswith("test_") and name not in OWN})


class FolderCloud:
    def __init__(self, folder):
        self.folder, self.past = folder, timedelta()
        self.driver = self.again()

    def again(self) -> Driver:
        return FolderDriver(self.folder, clock=lambda: datetime.now(UTC) + self.past)

    def wait(self, seconds):
        self.past += timedelta(seconds=seconds)

    def break_machine(self, token):
        FolderDriver(self.folder).end(token, "crashed")

    def printed(self, token):
        with (self.folder / "machines" / token / "log").open("a") as log:
            log.writelines(f"line {n}\n" for n in range(30))

    def close(self):
        pass


def test_the_example_is_as_short_as_its_guide_says():
    assert len(Path(folder_cloud.__file__).read_text().splitlines()) < 150


@pytest.fixture
def cloud(tmp_path):
    cloud = FolderCloud(tmp_path)
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def test_a_machine_that_breaks_is_seen_as_ended_with_the_reason(cloud, driver):
    machine = driver.create(asked_for := suite.asked(driver), SECRETS)
    cloud.break_machine(machine.token)
    assert suite.comes(lambda: suite.seen(driver, machine.token).presence is Presence.ENDED)
    assert suite.seen(driver, machine.token).why
    driver.create(asked_for, SECRETS)
    assert suite.running(driver) == []


def test_a_machine_that_expired_is_not_revived_by_a_later_expiry(cloud, driver):
    expires_at = datetime.now(UTC) + timedelta(seconds=1)
    machine = driver.create(suite.asked(driver, expires_at=expires_at), SECRETS)
    cloud.wait(2)
    cloud.again().extend(machine.token, expires_at + timedelta(hours=1))
    assert suite.seen(driver, machine.token).presence is Presence.ENDED
    assert driver.end_of(machine) == MachineEnd(why="expired", preempted=False)
