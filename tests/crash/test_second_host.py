"""A second worker host with a home of its own joins, and the first one freezes: nothing is written off or bought."""

import os
import signal
import sys
import time

import pytest

from tests.cloudy_line import CloudyLine
from tests.person import GENERAL, Person
from workers.clouds.local.driver import LocalDriver
from workers.deployment.events import LaunchIntended, MachineGone
from workers.deployment.identity import held
from workers.deployment.log import Log
from workers.deployment.state import fold
from workers.machines import Presence
from workers.processes import Child

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

WATCHED = 40.0
"""Seconds; a second home wrote off and bought again within 17."""

LAUNCHES = {"big": "mixtral-8x7b as big --clouds aws", "small": "scripted as small --clouds local"}


@pytest.fixture
def line(tmp_path):
    with CloudyLine(tmp_path, MIXTRAL_CLOUDS="aws,local") as line:
        yield line


def host(line, home):
    """Another worker host: the same Redis, a home of its own."""
    env = line.env | {"MIXTRAL_HOME": str(line.folder / home)}
    return Child(name=home, argv=(sys.executable, "-m", "bot.cli", "worker"), env=env, log=line.folder / f"{home}.log")


def launched(line, person):
    for text in LAUNCHES.values():
        person.command(GENERAL, f"/mixtral launch {text}")
    log = Log(line.redis())
    line.wait(lambda: log.names().keys() == LAUNCHES.keys(), 20, "both launches")
    ids = log.names()
    for name, id_ in ids.items():
        line.wait(lambda id_=id_: (state := fold(id_, log.read(id_))) and state.ready, 90, f"{name} is ready")
    return ids


def freeze(line, number):
    """The first worker with all its processes, as when its host is suspended."""
    os.killpg(os.getpgid(line.children.pid("worker")), number)


def events(line, ids, kind):
    return [e for id_ in ids.values() for e in Log(line.redis()).read(id_) if isinstance(e, kind)]


def test_a_second_host_that_takes_over_writes_nothing_off_and_buys_nothing(line):
    with Person(line.page) as person:
        ids = launched(line, person)
        line.children.start(host(line, "second"))
        line.wait((line.folder / "second" / "installation").exists, 30, "the second host is up")
        assert (line.folder / "second" / "installation").read_text().strip() == held(line.redis()) == line.installation
        freeze(line, signal.SIGSTOP)
        try:
            time.sleep(WATCHED)
            # Not by one look: on a busy computer a lease may run out before it is renewed.
            line.wait(lambda: line.redis().exists("mixtral:lease:sweeper"), 10, "the second host sweeps")
        finally:
            freeze(line, signal.SIGCONT)
        assert events(line, ids, MachineGone) == []
        assert len(events(line, ids, LaunchIntended)) == len(ids)
        for name in ids:
            person.end(GENERAL, name)
        line.wait(lambda: not Log(line.redis()).names(), 60, "the end of both")
        assert line.machines() == []
        assert [s for s in LocalDriver(line.home).owned(line.installation) if s.presence is Presence.RUNNING] == []


def test_a_host_of_another_installation_does_not_start_on_this_redis(line):
    line.wait(lambda: held(line.redis()), 20, "the id")
    stranger = line.folder / "stranger"
    stranger.mkdir()
    (stranger / "installation").write_text("i-stranger\n")
    line.children.start(host(line, "stranger"))
    log = line.folder / "stranger.log"
    line.wait(lambda: "i-stranger" in log.read_text(), 30, "the refusal")
    said = log.read_text()
    assert f"This Redis belongs to the installation {held(line.redis())}, and this host to i-stranger" in said
    assert "Traceback" not in said
