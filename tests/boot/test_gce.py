"""A machine of GCE without Docker, as Google's image for deep learning has none: the boot installs it.

Real: the kernel, systemd, Google's guest agent, which runs the startup script at every boot, apt, Docker, the pull.
Stubs: as in test_ec2.py. The packages lie in apt's cache, because the network is not what is tested.
"""

from datetime import timedelta

import pytest

pytestmark = [pytest.mark.boot, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def machine(renting):
    with renting("gcp", "bare.img", "GCE without Docker") as (machine, _):
        machine.rent(timedelta(minutes=30))
        yield machine


def test_a_first_boot_without_docker_installs_it_and_answers_by_its_key_alone(machine):
    machine.until(lambda: machine.prints("this machine shuts down at"), "the deadman is armed", 250)
    machine.until(lambda: machine.prints("]: pulling "), "Docker is installed", 250)
    machine.until(lambda: machine.ready, "the engine answers", 150)
    assert "script" in machine.answers()


def test_when_its_expiry_passes_it_ends_itself(machine):
    machine.extend(timedelta(seconds=20))
    machine.until(lambda: machine.ended, "the machine has ended itself", 150)
    assert "mixtral-deadman: expired at" in machine.guests.console("")
