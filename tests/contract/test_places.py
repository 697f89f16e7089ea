"""The control loop over two places of one cloud, of which one fails: what is kept, what is ended, and what is said."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from msgspec.structs import replace

from bot.views import details
from bot.views.card import card
from bot.views.status import overview
from tests.fakes.probes import told
from tests.patience import PATIENCE
from tests.two_places import LEASE, AwsPlaces, Clock, FakePlaces, GcpPlaces, TwoPlaces, quiet
from workers.api import Deployments
from workers.clouds.driver import DriverError
from workers.deployment import machine_logs
from workers.deployment.attempt import Phase
from workers.deployment.events import Control, ControlLost, ControlRegained


@pytest.fixture
def world(redis, tmp_path, monkeypatch):
    """Makes a deployment with a replica in each place of a cloud."""
    quiet(monkeypatch)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "")
    some = [region for region in RegionsAndZonesBackend.regions if region.name in AwsPlaces.names]
    monkeypatch.setattr(RegionsAndZonesBackend, "regions", some)
    clock = Clock()
    made: list[Any] = []

    def make(kind):
        places = {
            "fake": lambda: FakePlaces(clock),
            "aws": lambda: AwsPlaces(tmp_path),
            "gcp": lambda: GcpPlaces(tmp_path),
        }[kind]()
        made.append(places)
        return TwoPlaces(redis, clock, places, f"on-{kind}")

    yield make
    for places in made:
        places.close()


def at(line, place):
    (found,) = (a for a in line.state.attempts if a.machine and line.place(a) == place)
    return found


def shown(line):
    """The text of the card, and of the modal behind it."""
    blocks = [*card(line.state, line.clock.now).blocks, *details.modal(line.state, line.clock.now)["blocks"]]
    return "\n".join(b["text"]["text"] for b in blocks if "text" in b)


def lost(attempt):
    return {one.what for one in attempt.lost}


def test_a_region_that_a_policy_denies_takes_no_lease_and_no_end_from_another(world):
    line = world("aws")
    denied, good = line.places.names
    line.places.fail(denied, "denied")
    line.restart()
    for _ in range(9):
        line.step(10)
    assert at(line, good).expires_at > line.clock.now + LEASE / 3
    assert lost(at(line, good)) == set()
    assert lost(at(line, denied)) == {Control.LIST, Control.EXTEND}
    assert "You are not authorized to perform this operation" in shown(line)
    assert "Without an extension of the lease, replica 1 will end" in shown(line)
    assert "its lease cannot be extended" in str(overview([line.state], line.clock.now).blocks)
    line.requests.stop(line.id, by="U")
    line.until(lambda: at(line, good).phase is Phase.ENDED, 2)
    assert lost(at(line, denied)) == {Control.LIST, Control.EXTEND, Control.END}
    line.places.mend()
    line.until(lambda: line.state.ended is not None)


@pytest.mark.parametrize(("kind", "fault"), [("aws", "denied"), ("gcp", "unreachable")])
def test_a_machine_that_is_deleted_while_another_place_fails_is_noticed_within_seconds(world, kind, fault):
    line = world(kind)
    bad, good = line.places.names
    line.places.fail(bad, fault)
    line.step()
    gone = at(line, good)
    line.places.delete(gone.request.token)
    line.until(lambda: gone.number not in {a.number for a in line.state.live}, 2)
    assert at(line, bad).phase is Phase.READY


def test_a_machine_that_is_protected_from_its_end_says_so_until_it_ends(world):
    line = world("aws")
    line.places.cloud.fault("OperationNotPermitted", action="TerminateInstances", region=line.places.names[0])
    line.requests.stop(line.id, by="U")
    line.until(lambda: at(line, line.places.names[0]).lost, 3)
    assert "The instance may not be terminated" in shown(line)
    assert "This costs 21.96 USD/h" in shown(line)
    line.places.mend()
    line.until(lambda: line.state.ended is not None)
    assert "may not be terminated" not in shown(line)


@pytest.mark.parametrize("fault", ["denied", "silent"])
def test_one_job_ends_what_it_can_wherever_the_cloud_fails(world, fault):
    line = world("fake")
    line.places.fail("east", fault)
    line.requests.stop(line.id, by="U")
    with pytest.raises(DriverError, match="east"):
        line.advance(line.id)
    assert at(line, "west").phase is Phase.ENDED
    assert at(line, "east").phase is Phase.SHUTTING_DOWN


def test_a_place_that_is_silent_for_seconds_is_not_in_the_log(world):
    line = world("fake")
    line.places.fail("east", "silent")
    for _ in range(3):
        line.step(8)
    line.places.mend()
    for _ in range(5):
        line.step()
    assert not [event for event in line.log.read(line.id) if isinstance(event, ControlLost)]


def test_a_place_that_answers_again_is_said(world):
    line = world("fake")
    line.places.fail("east", "silent")
    for _ in range(5):
        line.step(8)
    assert lost(at(line, "east")) == {Control.LIST}
    line.restart()
    line.places.mend()
    line.until(lambda: not at(line, "east").lost, 13, 30)
    assert at(line, "east").phase is Phase.READY


def test_a_place_that_fails_again_and_again_fills_neither_the_log_nor_the_thread(world):
    line = world("fake")
    for _ in range(10):
        line.places.fail("east", "silent")
        for _ in range(4):
            line.step(10)
        line.places.mend()
        for _ in range(4):
            line.step(10)
    told = [event for event in line.log.read(line.id) if isinstance(event, ControlLost | ControlRegained)]
    assert [event.what for event in told if event.what is Control.LIST] == [Control.LIST]
    assert len(line.state.ready) == len(line.state.live) == 2


def test_a_cloud_that_denies_extensions_is_not_asked_at_every_sweep(world):
    line = world("fake")
    extended = ("extend", at(line, "east").request.token)
    line.places.fail("east", "denied")
    line.places.driver.calls.clear()
    line.until(lambda: extended in line.places.driver.calls, 24)
    for _ in range(20):
        line.step(1)
    assert 3 <= line.places.driver.calls.count(extended) <= 6
    line.places.mend()
    line.until(lambda: at(line, "east").expires_at > line.clock.now + LEASE / 2)


def test_a_worker_that_may_no_longer_use_a_cloud_says_what_becomes_of_its_machines(world):
    line = world("fake")
    line.restart(allowed=False)
    line.until(lambda: [lost(a) for a in line.state.live] == [{Control.LIST, Control.EXTEND}] * 2, 24)
    assert "Add fake to MIXTRAL_CLOUDS, and restart the worker" in shown(line)
    line.restart()
    line.until(lambda: not any(Control.EXTEND in lost(a) for a in line.state.attempts))
    assert len(line.state.ready) == len(line.state.live) == 2


def test_a_place_that_gives_no_answer_hides_its_own_logs_alone(world):
    line = world("fake")
    for attempt in line.state.ready:
        line.places.driver.print(attempt.request.token, "Application startup complete.")
    line.places.fail("east", "silent")
    found = Deployments(line.redis, line.nudged.append, {"fake": line.places.driver}).logs(line.id, 5)
    assert sorted(log.tail for log in found) == [
        "(its log could not be read: east is silent)",
        "the machine is up\nApplication startup complete.",
    ]


class Slow:
    """A cloud whose logs are read when the test says so."""

    def __init__(self, driver, answer):
        self._driver, self._answer = driver, answer

    def __getattr__(self, name):
        return getattr(self._driver, name)

    def log(self, *asked):
        said = self._driver.log(*asked)
        self._answer()
        return said


def logs(line, driver):
    return Deployments(line.redis, line.nudged.append, {"fake": driver}).logs


def test_the_logs_of_all_replicas_are_read_at_the_same_time(world):
    line = world("fake")
    both = threading.Barrier(2)
    found = logs(line, Slow(line.places.driver, lambda: both.wait(10 * PATIENCE)))(line.id, 5)
    assert [log.tail for log in found] == ["the machine is up"] * 2


def test_logs_without_an_answer_are_read_no_second_time_and_shown_once_they_are_there(world, monkeypatch):
    line = world("fake")
    begun, answers = threading.Semaphore(0), threading.Event()
    read = logs(line, Slow(line.places.driver, lambda: (begun.release(), answers.wait(60))))
    try:
        with monkeypatch.context() as impatient:
            impatient.setattr(machine_logs, "READ_WITHIN", timedelta(seconds=0.05))
            for _ in range(5):
                found = read(line.id, 5)
                unread = "(its log could not be read: fake gave no answer within 0.05 s)"
                assert [log.tail for log in found] == [unread] * 2
        assert begun.acquire(timeout=10 * PATIENCE)
        assert begun.acquire(timeout=10 * PATIENCE)
        assert not begun.acquire(blocking=False)
    finally:
        answers.set()
    assert [log.tail for log in read(line.id, 5)] == ["the machine is up"] * 2


def test_older_logs_are_read_in_place_of_those_that_are_empty(world):
    line = world("fake")
    older, newest = sorted(line.state.ready, key=lambda attempt: attempt.number)
    line.places.driver._logs[newest.request.token].clear()
    [found] = logs(line, line.places.driver)(line.id, 5, newest=1)
    assert (found.replica, found.tail) == (older.replica, "the machine is up")


def test_only_the_logs_that_are_shown_are_read_from_the_cloud(world):
    line = world("fake")
    line.places.driver.calls.clear()
    requests = Deployments(line.redis, line.nudged.append, {"fake": line.places.driver})
    older, newest = requests.logs(line.id, 5, newest=1)
    assert (older.tail, newest.tail) == ("", "the machine is up")
    assert [kind for kind, *_ in line.places.driver.calls].count("log") == 1


def test_a_worker_that_was_away_for_longer_than_the_lease_says_what_became_of_the_machines(world):
    line = world("fake")
    assert "\N{LARGE GREEN CIRCLE}" in shown(line)
    line.clock.now += LEASE + timedelta(minutes=2)  # no worker runs
    assert "\N{LARGE GREEN CIRCLE}" not in shown(line)
    assert "has no worker, and its lease ran out" in shown(line)
    assert "The lease of replicas 1 and 2 ran out" in shown(line)
    line.restart()
    line.until(lambda: len([a for a in line.state.attempts if a.phase is Phase.FAILED]) == 2)
    old = [a for a in line.state.attempts if a.phase is Phase.FAILED]
    line.until(lambda: len(line.state.ready) == 2)
    assert [a.why for a in old] == ["its lease ran out, because no worker extended it"] * 2
    assert all(a.lapsed for a in old)


def test_a_clock_that_is_set_back_does_not_stop_the_lists(world):
    line = world("fake")
    line.clock.now -= timedelta(hours=2)
    token = at(line, "east").request.token
    line.places.delete(token)
    line.until(lambda: at_or_gone(line, token), 3)


@pytest.mark.parametrize(("passed", "ahead"), [(0.0, 0.7), (0.3, 0.3)])
def test_a_lease_that_a_clock_ahead_has_set_too_far_away_is_corrected(world, passed, ahead):
    line = world("fake")
    line.clock.now += LEASE * passed
    line.step()
    line.clock.now += LEASE * ahead
    line.until(lambda: at(line, "east").expires_at > line.clock.now + LEASE / 2, 3)
    line.clock.now -= LEASE * ahead
    assert at(line, "east").expires_at > line.clock.now + LEASE * (1 + ahead * 0.6)
    line.until(lambda: at(line, "east").expires_at <= line.clock.now + LEASE, 3)
    assert len(line.places.driver.bought) == len(line.state.ready) == 2


def test_a_clock_an_hour_ahead_of_the_cloud_s_writes_off_no_machine_that_its_list_does_not_show_yet(world, monkeypatch):
    line = world("fake")
    driver = line.places.driver
    before, owned = driver.running(), driver.owned
    driver.clock = lambda: line.clock.now - timedelta(hours=1)

    def late(*where):
        listing = owned(*where)
        return replace(listing, sightings=tuple(s for s in listing if s.machine.token in before))

    monkeypatch.setattr(driver, "owned", late)
    line.requests.scale(line.id, 3, by="U")
    for _ in range(4):
        line.step()
    monkeypatch.setattr(driver, "owned", owned)
    for _ in range(4):
        line.step()
    assert len(driver.bought) == len(line.state.ready) == 3


def at_or_gone(line, token):
    return token not in {a.request.token for a in line.state.live}


@pytest.mark.parametrize(("fault", "calls"), [("silent", 1), ("denied", 2)])
def test_a_place_that_gives_no_answer_is_asked_once_a_job(world, fault, calls):
    line = world("fake")
    line.requests.scale(line.id, 3, by="U")
    line.until(lambda: len(line.state.ready) == 3)
    in_west = [a.request.token for a in line.state.ready if line.place(a) == "west"]
    assert len(in_west) == 2
    line.places.fail("west", fault)
    line.requests.stop(line.id, by="U")
    line.places.driver.calls.clear()
    with pytest.raises(DriverError, match="west"):
        line.advance(line.id)
    asked = [token for name, token in line.places.driver.calls if name == "terminate"]
    assert sum(token in in_west for token in asked) == calls
    assert at(line, "east").phase is Phase.ENDED


def test_a_clock_that_is_set_back_does_not_stop_the_probes(world, monkeypatch):
    line = world("fake")
    asked = []
    monkeypatch.setattr("workers.control.sweeper.probe", told(lambda address, *_, **__: asked.append(address)))
    line.restart()
    line.until(lambda: len(asked) >= 2)
    line.clock.now -= timedelta(hours=2)
    asked.clear()
    line.until(lambda: len(asked) >= 2 * len(line.state.ready))


def test_a_clock_that_is_thirty_hours_ahead_and_then_right_loses_no_machine(world):
    line = world("fake")
    ahead = timedelta(hours=30)
    line.places.driver.clock = lambda: line.clock.now - ahead
    line.clock.now += ahead
    line.until(lambda: all(a.expires_at > line.clock.now for a in line.state.ready), 6)
    line.clock.now -= ahead
    line.places.driver.clock = line.clock
    line.until(lambda: all(a.expires_at <= line.clock.now + LEASE for a in line.state.ready), 6)
    assert len(line.places.driver.bought) == len(line.state.ready) == 2
