"""Machines on which something is missing: a guest for each scene."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from tests.boot import registry as images
from workers.machines import Presence

pytestmark = [pytest.mark.boot_all, pytest.mark.timeout(3000)]

LEASE = timedelta(minutes=40)
ARMED = "this machine shuts down at"
# Docker asks its hub after a mirror, and then reports what the hub said.
IMAGE = f"docker:169.254.169.254:{images.PORT}/{images.NAME}:{images.TAG}"


def booted(machine, lease=LEASE, **boot):
    machine.rent(lease, **boot)
    machine.until(lambda: machine.prints(ARMED), "the deadman is armed", 300)


def serves(machine, within=400):
    machine.until(lambda: machine.ready, "the engine answers", within)
    assert "script" in machine.answers()


def test_a_registry_that_is_away_is_asked_again_until_it_answers(renting, registry):
    with renting("aws", "docker.img", "Registry away at first") as (machine, _):
        registry.stop()
        try:
            booted(machine)
            machine.until(lambda: machine.prints("failed", 2), "two pulls have failed", 150)
        finally:
            registry.start()
        serves(machine)


def test_a_registry_that_stays_away_is_given_up_with_its_cause(renting, registry):
    with renting("aws", "docker.img", "Registry away") as (machine, _):
        registry.stop()
        try:
            booted(machine)
            why = machine.until(lambda: machine.said.gave_up, "the machine has given up", 250)
        finally:
            registry.start()
        assert "cannot be pulled" in why
        assert "connection refused" in why
        assert machine.shuts_down_at() is not None
        machine.driver.terminate(machine.machine.token)
        machine.until(lambda: not machine.guests.running(), "the control plane has ended it", 30)


def test_a_full_disk_is_given_up_with_its_cause_and_the_machine_still_ends_itself(renting):
    with renting("aws", "docker.img", "Disk full", kernel="guest.full") as (machine, _):
        booted(machine, image=IMAGE)
        why = machine.until(lambda: machine.said.gave_up, "the machine has given up", 300)
        assert "no space left on device" in why
        machine.extend(timedelta(seconds=20))
        machine.until(lambda: machine.ended, "the machine has ended itself", 150)


def test_a_metadata_server_that_answers_late_delays_the_deadman_and_harms_nothing(renting):
    with renting("aws", "docker.img", "Metadata late") as (machine, metadata):
        metadata.late = 2.0
        booted(machine)
        serves(machine)
        machine.extend(timedelta(hours=2))
        machine.until(
            lambda: (at := machine.shuts_down_at()) and at > datetime.now(UTC) + LEASE, "the shutdown has moved", 200
        )


@pytest.mark.parametrize("hours", [-1, 1], ids=["slow", "fast"])
def test_a_clock_off_by_an_hour_does_not_move_the_end(renting, hours):
    clock = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")
    with renting("aws", "docker.img", f"Clock {hours:+} h", clock=clock) as (machine, _):
        booted(machine)
        serves(machine)
        machine.extend(timedelta(seconds=60))
        began = datetime.now(UTC)
        machine.until(lambda: machine.ended, "the machine has ended itself", 150)
        assert datetime.now(UTC) - began > timedelta(seconds=45)


def test_a_machine_of_ec2_without_docker_installs_it(renting):
    with renting("aws", "bare.img", "EC2 without Docker") as (machine, _):
        booted(machine)
        machine.until(lambda: machine.prints("pulling "), "Docker is installed", 300)
        serves(machine)


def test_a_machine_of_gce_with_docker_serves_again_after_a_reboot(renting):
    with renting("gcp", "docker.img", "GCE with Docker") as (machine, _):
        booted(machine)
        serves(machine)
        machine.guests.reboot()
        machine.at("the machine reboots")
        machine.until(machine.shuts_down_at, "the deadman is armed again", 200)
        assert not machine.ready
        serves(machine)
        assert machine.seen().presence is Presence.RUNNING


def test_apt_that_is_locked_by_an_update_is_waited_for(renting):
    with renting("gcp", "bare.img", "GCE without Docker, apt locked") as (machine, _):
        machine.rent(LEASE)
        machine.until(lambda: machine.prints(ARMED), "the deadman is armed", 300)
        lock = "/var/lib/dpkg/lock-frontend"
        holding = threading.Thread(
            target=machine.guests.run,
            args=(
                f'python3 -c \'import fcntl, time; f = open("{lock}", "w"); fcntl.lockf(f, 2); time.sleep(60)\'',
                300,
            ),
        )
        holding.start()
        machine.at("another program holds apt's lock for a minute")
        machine.until(lambda: machine.prints("pulling "), "Docker is installed", 300)
        holding.join()
        serves(machine)
