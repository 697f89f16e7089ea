"""The answer of a starting replica does not wait for the next sweep, and the probe of a ready one does."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.builders.logs import append
from tests.builders.machines import INSTALLATION
from tests.builders.story import Story
from tests.fakes.driver import FakeDriver
from tests.fakes.probes import told
from tests.patience import PATIENCE
from workers.control.sweeper import Sweeper
from workers.deployment.events import ReplicaReady
from workers.deployment.log import Log
from workers.serving.unready import Unready

STARTS, ANSWERS = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.fixture
def asked(monkeypatch):
    """The address of each probe. The replica that starts answers the third one."""
    asked = []

    def answer(address, *_, **__):
        asked.append(address)
        starting = address == STARTS and asked.count(STARTS) < 3
        return Unready(why="nothing listens on its port", silent=True) if starting else None

    monkeypatch.setattr("workers.control.sweeper.probe", told(answer))
    monkeypatch.setattr("workers.control.sweeper.key_is_enforced", told(True))
    monkeypatch.setattr("workers.control.sweeper.cannot_complete", told(None))
    return asked


def test_a_replica_becomes_ready_between_two_sweeps(redis, asked):
    now = datetime.now(UTC)
    starting = Story("starting", id_="d1", at=now).planned().asked().created(STARTS)
    for story in (starting, Story("ready", id_="d2", at=now).answers_at(ANSWERS)):
        append(redis, story)
    log = Log(redis)
    sweeper = Sweeper(
        redis=redis,
        log=log,
        drivers={"fake": FakeDriver("fake")},
        nudge=lambda _: None,
        installation=INSTALLATION,
        environ={},
        machine_lease=timedelta(hours=24),
        control_lease=timedelta(seconds=10),
        every=timedelta(hours=1),
        clock=lambda: datetime.now(UTC),
    )
    stop = threading.Event()
    sweeping = threading.Thread(target=sweeper.run, args=(stop,))
    sweeping.start()
    try:
        deadline = time.monotonic() + 30 * PATIENCE
        while time.monotonic() < deadline and not _is_ready(log, starting.id):
            time.sleep(0.05)
    finally:
        stop.set()
        sweeping.join()
    assert _is_ready(log, starting.id)
    assert asked.count(STARTS) == 3
    assert asked.count(ANSWERS) <= 1


def _is_ready(log, id_):
    return any(isinstance(event, ReplicaReady) for event in log.read(id_))
