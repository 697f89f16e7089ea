"""A machine of EC2 with Docker, from its request to its end: one guest, and the scenes in their order.

Real: the kernel, systemd, cloud-init with the EC2 data source, Docker, the pull. Stubs: `nvidia-smi`, and the NVIDIA
toolkit's hook, for which real Docker accepts `--gpus all`. The engine in vLLM's image is the scripted one.
"""

from datetime import UTC, datetime, timedelta

import pytest

from workers.machines import Presence

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3000)]

LEASE = timedelta(minutes=40)
NEAR = timedelta(minutes=2)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def machine(renting):
    with renting("aws", "docker.img", "EC2 with Docker") as (machine, _):
        machine.rent(LEASE)
        machine.expires_at = datetime.now(UTC) + LEASE
        yield machine


def test_a_first_boot_pulls_the_image_and_answers_by_its_key_alone(machine):
    machine.until(lambda: machine.prints("this machine shuts down at"), "the deadman is armed", 250)
    machine.until(lambda: machine.prints("]: starting "), "the image is pulled", 100)
    machine.until(lambda: machine.ready, "the engine answers", 100)
    assert "script" in machine.answers()


def test_its_end_was_armed_before_anything_was_pulled(machine):
    assert machine.console.index("shuts down at") < machine.console.index("pulling ")
    assert abs(machine.shuts_down_at() - machine.expires_at) < 2 * MINUTE


def test_a_moved_expiry_moves_the_shutdown(machine):
    machine.expires_at = datetime.now(UTC) + NEAR
    machine.extend(NEAR)
    near = machine.expires_at + 2 * MINUTE
    machine.until(lambda: (at := machine.shuts_down_at()) and at < near, "the shutdown is minutes away", 60)
    machine.extend(timedelta(hours=1))
    machine.until(lambda: (at := machine.shuts_down_at()) and at > near, "the shutdown is an hour away", 60)


def test_an_engine_that_is_killed_is_started_again_by_its_machine(machine):
    machine.guests.run("kill -KILL $(docker inspect --format '{{.State.Pid}}' mixtral)")
    restarted = machine.until(lambda: machine.said.restarted, "the engine was killed", 30)
    assert restarted.how == "the engine was killed by SIGKILL"
    machine.until(lambda: machine.ready, "the engine answers again", 100)
    assert "script" in machine.answers()


def test_after_a_reboot_its_end_is_armed_first_and_the_engine_returns(machine):
    machine.guests.reboot()
    machine.at("the machine reboots")
    machine.until(machine.shuts_down_at, "the deadman is armed again", 200)
    assert not machine.ready
    machine.until(lambda: machine.ready, "the engine answers after the reboot", 200)
    assert "script" in machine.answers()


def test_it_outlives_the_expiry_that_was_moved(machine):
    machine.until(
        lambda: datetime.now(UTC) > machine.expires_at + timedelta(seconds=20), "the nearer expiry has passed", 300
    )
    assert machine.guests.running()
    assert machine.seen().presence is Presence.RUNNING


def test_when_its_expiry_passes_it_ends_itself(machine):
    machine.extend(timedelta(seconds=20))
    machine.until(lambda: machine.ended, "the machine has ended itself", 150)
    assert "mixtral-deadman: expired at" in machine.guests.console("")
