"""What every driver keeps: the fake in memory, and the local one with its processes."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.builders.machines import INSTALLATION, SECRETS, boot, request
from tests.fakes.driver import FakeDriver
from tests.patience import PATIENCE
from workers.clouds.driver import Refused
from workers.clouds.local.driver import LocalDriver
from workers.clouds.local.machine_folder import MachineFolder
from workers.machines import Presence, Token
from workers.placement.refusals import Scope


class FakeCloud:
    def __init__(self, _folder):
        self.past = timedelta()
        self.driver = FakeDriver(clock=self.now)

    def now(self):
        return datetime.now(UTC) + self.past

    def again(self):
        """The driver as another process has it."""
        return self.driver

    def wait(self, seconds):
        self.past += timedelta(seconds=seconds)

    def break_machine(self, token):
        self.driver.end(token)

    def printed(self, token):
        self.driver.print(token, *(f"line {n}" for n in range(30)))

    def close(self):
        pass


class LocalCloud:
    def __init__(self, folder):
        self.home = folder
        self.driver = LocalDriver(folder)

    def again(self):
        return LocalDriver(self.home)

    def wait(self, seconds):
        time.sleep(seconds)

    def break_machine(self, token):
        os.kill(MachineFolder(self.driver.machines / token).started().pid, signal.SIGKILL)

    def printed(self, token):
        written = MachineFolder(self.driver.machines / token).log
        comes(lambda: written.exists() and "serving" in written.read_text())  # the engine's last line of its own
        with written.open("a") as log:
            log.writelines(f"line {n}\n" for n in range(30))

    def close(self):
        for sighting in self.driver.owned(INSTALLATION):
            self.driver.terminate(sighting.machine.token)


@pytest.fixture(params=[FakeCloud, LocalCloud], ids=["fake", "local"])
def cloud(request, tmp_path):
    cloud = request.param(tmp_path)
    yield cloud
    cloud.close()


@pytest.fixture
def driver(cloud):
    return cloud.driver


def asked(driver, token="d-1-2", **changes):
    return request(token, driver.offers()[:1], **changes)


def seen(driver, token, installation=INSTALLATION):
    return next((s for s in driver.owned(installation) if s.machine.token == token), None)


def comes(holds, seconds=10):
    deadline = time.monotonic() + seconds * PATIENCE
    while not (answer := holds()):
        assert time.monotonic() < deadline, "did not come"
        time.sleep(0.02)
    return answer


def running(driver):
    return [s for s in driver.owned(INSTALLATION) if s.presence is Presence.RUNNING]


def test_it_is_usable_and_sells_something_at_a_known_price(driver):
    assert driver.status().usable
    assert {offer.cloud for offer in driver.offers()} == {driver.cloud}
    assert all(offer.usd_per_hour is not None for offer in driver.offers())


def test_a_machine_is_made_and_told_with_what_was_asked(driver):
    asked_for = asked(driver)
    machine = driver.create(asked_for, SECRETS)
    assert machine.token == asked_for.token
    assert machine.cloud == driver.cloud
    assert machine.offer in asked_for.offers
    assert machine.address.startswith("http://")
    assert abs(machine.created_at - datetime.now(UTC)) < timedelta(seconds=30)
    sighting = seen(driver, asked_for.token)
    assert sighting.presence is Presence.RUNNING
    assert (sighting.installation, sighting.deployment, sighting.replica, sighting.attempt) == (
        INSTALLATION,
        "d-1",
        1,
        2,
    )
    assert sighting.machine == machine


def test_the_same_token_asked_again_is_the_same_machine(cloud, driver):
    first = driver.create(asked_for := asked(driver), SECRETS)
    assert cloud.again().create(asked_for, SECRETS) == first
    assert len(running(driver)) == 1


def test_the_same_token_asked_many_times_at_once_is_one_machine(cloud, driver):
    asked_for = asked(driver)
    with ThreadPoolExecutor(8) as threads:
        machines = list(threads.map(lambda _: cloud.again().create(asked_for, SECRETS), range(8)))
    assert all(machine == machines[0] for machine in machines)
    assert len(running(driver)) == 1


def test_a_token_used_for_another_request_is_refused_as_our_mistake(driver):
    driver.create(asked_for := asked(driver), SECRETS)
    with pytest.raises(Refused) as refused:
        driver.create(msgspec.structs.replace(asked_for, boot=boot(model="other")), SECRETS)
    assert refused.value.scope is Scope.BUG
    assert len(running(driver)) == 1


def test_two_tokens_are_two_machines(driver):
    one = driver.create(asked(driver, "d-1-1"), SECRETS)
    two = driver.create(asked(driver, "d-1-2"), SECRETS)
    assert one.id != two.id
    assert len(running(driver)) == 2


def test_a_machine_is_found_by_its_token_from_anywhere(cloud, driver):
    assert driver.find(Token("d-1-2")) is None
    machine = driver.create(asked(driver), SECRETS)
    assert cloud.again().find(machine.token) == machine


def test_a_machine_that_ended_is_still_found(driver):
    machine = driver.create(asked(driver), SECRETS)
    driver.terminate(machine.token)
    assert driver.find(machine.token) == machine


def test_only_the_installation_s_own_machines_are_listed(driver):
    driver.create(asked(driver), SECRETS)
    assert seen(driver, "d-1-2", installation="i-another") is None


def test_terminating_ends_a_machine_and_may_be_repeated(cloud, driver):
    machine = driver.create(asked(driver), SECRETS)
    driver.terminate(machine.token)
    cloud.again().terminate(machine.token)
    assert comes(lambda: seen(driver, machine.token).presence is Presence.ENDED)
    assert seen(driver, machine.token).why


def test_terminating_what_never_was_is_fine(driver):
    driver.terminate(Token("d-9-9"))
    assert driver.find(Token("d-9-9")) is None
    assert list(driver.owned(INSTALLATION)) == []


@pytest.mark.parametrize("made_before", [True, False])
def test_a_create_that_comes_after_the_end_makes_no_new_machine(driver, made_before):
    asked_for = asked(driver)
    if made_before:
        driver.create(asked_for, SECRETS)
    driver.terminate(asked_for.token)
    driver.create(asked_for, SECRETS)
    assert running(driver) == []
    assert seen(driver, asked_for.token).presence is Presence.ENDED


def test_a_machine_that_breaks_is_seen_as_ended_with_the_reason(cloud, driver):
    machine = driver.create(asked(driver), SECRETS)
    cloud.break_machine(machine.token)
    assert comes(lambda: seen(driver, machine.token).presence is Presence.ENDED)
    assert seen(driver, machine.token).why
    assert driver.create(asked_for := driver_request(driver, machine), SECRETS).token == asked_for.token
    assert running(driver) == []


def driver_request(driver, machine):
    """The request that made the machine, as the log would give it back."""
    if isinstance(driver, FakeDriver):
        return driver.requests[machine.token]
    return MachineFolder(driver.machines / machine.token).request()


def test_a_machine_ends_itself_when_its_time_is_over(cloud, driver):
    machine = driver.create(asked(driver, expires_at=datetime.now(UTC) + timedelta(seconds=0.5)), SECRETS)
    cloud.wait(0.6)
    assert comes(lambda: seen(driver, machine.token).presence is Presence.ENDED)
    assert "expired" in seen(driver, machine.token).why


def test_a_machine_lives_on_when_it_is_told_to(cloud, driver):
    soon = datetime.now(UTC) + timedelta(seconds=8)  # a busy computer takes some for the two calls
    machine = driver.create(asked(driver, expires_at=soon), SECRETS)
    cloud.again().extend(machine.token, datetime.now(UTC) + timedelta(hours=1))
    cloud.wait(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.5)
    assert seen(driver, machine.token).presence is Presence.RUNNING


def test_extending_what_never_was_is_fine(driver):
    driver.extend(Token("d-9-9"), datetime.now(UTC) + timedelta(hours=1))
    assert driver.find(Token("d-9-9")) is None


def test_the_end_of_a_log_can_be_read_also_after_the_machine_s_end(cloud, driver):
    machine = driver.create(asked(driver), SECRETS)
    cloud.printed(machine.token)
    driver.terminate(machine.token)
    assert driver.log(machine.token, 3).splitlines()[-2:] == ["line 28", "line 29"]
    assert driver.log(Token("d-9-9"), 3) == ""


def test_no_secret_is_in_what_a_driver_tells(driver):
    machine = driver.create(asked(driver), SECRETS)
    told = [machine, *driver.owned(INSTALLATION), driver.log(machine.token, 100)]
    assert all(SECRETS["VLLM_API_KEY"] not in repr(one) for one in told)
