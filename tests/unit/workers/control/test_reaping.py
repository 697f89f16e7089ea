"""Machines that no log contains: each is logged once while it is listed, and none is remembered for ever."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders.machines import machine, request
from tests.builders.offers import HERE
from tests.fakes.driver import FakeDriver
from workers.control.reaping import Reaper
from workers.machines import Presence, Sighting

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Clocked:
    """A reaper that knows no deployment, and its clock."""

    def __init__(self):
        self.now = NOON
        recorder: Any = SimpleNamespace(states={}, read=lambda _: None, now=lambda: self.now)
        self.reaper = Reaper(recorder, nudge=lambda _: None, keep=lambda *_: None)

    def lists(self, machines, passed=timedelta()):
        self.now += passed
        for number in range(machines):
            made = machine(request(f"t-{number}", [HERE]))
            sighting = Sighting(
                machine=made,
                presence=Presence.RUNNING,
                installation="i-1",
                deployment="d-1",
                replica=1,
                attempt=number,
            )
            self.reaper.look(FakeDriver(), sighting)
        self.reaper.collect()


@pytest.fixture
def clocked():
    return Clocked()


def test_a_machine_that_no_log_contains_is_logged_once_while_it_is_listed(clocked, caplog):
    for _ in range(100):
        clocked.lists(1, timedelta(minutes=5))
    assert len(caplog.records) == 1


def test_machines_that_are_listed_no_more_are_forgotten(clocked):
    clocked.lists(1000)
    assert len(clocked.reaper._unknown) == 1000
    clocked.lists(0, timedelta(hours=2))
    assert not clocked.reaper._unknown
