"""A place, a page or the credentials fail for a while: no healthy machine is lost, no end elsewhere waits."""

import contextlib
import os
import random
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from tests.fakes.probes import told
from tests.two_places import AwsPlaces, Clock, FakePlaces, GcpPlaces, TwoPlaces, quiet
from workers.deployment.attempt import KEPT, MAY_COST
from workers.serving.unready import Unready

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

SEED = int(os.environ.get("MIXTRAL_KILL_SEED", "2026"))
SCHEDULES = {"fake": 140, "aws": 40, "gcp": 40, "aws credentials": 12, "gcp credentials": 12, "busy": 20}
AT_LEAST = 200

STEPS_TO_END = 3
"""Steps within which a wanted end elsewhere, or an end that the cloud reports, is in the log."""

tally: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def _only_two_regions(request):
    began, cpu = time.monotonic(), time.process_time()
    every = RegionsAndZonesBackend.regions
    RegionsAndZonesBackend.regions = [region for region in every if region.name in AwsPlaces.names]
    yield
    RegionsAndZonesBackend.regions = every
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    took, used = time.monotonic() - began, time.process_time() - cpu
    terminal.write_line(f"\n{tally.total()} schedules in {took:.0f} s, {used:.0f} s of CPU, seed {SEED}: {dict(tally)}")


@pytest.fixture
def world(redis, tmp_path, monkeypatch):
    """Makes a deployment with a replica in each place of a cloud."""
    quiet(monkeypatch)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    clock = Clock()
    made: list[Any] = []

    def make(kind, name):
        if not made or kind == "fake":
            places = {
                "fake": lambda: FakePlaces(clock),
                "aws": lambda: AwsPlaces(tmp_path),
                "gcp": lambda: GcpPlaces(tmp_path),
            }[kind]()
            made.append(places)
        redis.flushall()
        made[-1].mend()
        return TwoPlaces(redis, clock, made[-1], name)

    yield make
    for places in made:
        places.close()


@contextlib.contextmanager
def counted(kind, number, *what):
    """Count a schedule. To a failure, add what reproduces it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{kind} {number}: {what}; MIXTRAL_KILL_SEED={SEED}")
        raise
    tally[kind] += 1


def check(line, healthy):
    """Unknown is never gone; and in a healthy place, no lease runs out."""
    state = line.state
    for attempt in state.attempts:
        token = attempt.request.token
        if attempt.machine is None or not line.places.runs(token):
            continue
        assert attempt.phase in MAY_COST, f"{token} runs, and is {attempt.phase}: {attempt.why}"
        if line.place(attempt) in healthy and attempt.phase in KEPT:
            assert line.places.expiry(token) > line.clock.now, f"the lease of {token} has run out"


def steps(line, rng, number, healthy):
    for _ in range(number):
        line.step(rng.uniform(4, 12))
        check(line, healthy)


@pytest.mark.parametrize("kind", ["fake", "aws", "gcp"])
def test_a_place_that_fails_takes_nothing_from_the_other(world, kind):
    for number in range(SCHEDULES[kind]):
        rng = random.Random(f"{SEED} {kind} {number}")
        line = world(kind, f"{kind}-{number}")
        bad = rng.choice(line.places.names)
        (good,) = (name for name in line.places.names if name != bad)
        fault, restarts, lost, down = rng.choice(line.places.faults), rng.random(), rng.random(), rng.random()
        # A place of the stand-ins fails for less than half a lease; their machines have no deadman.
        during = rng.randint(8, 30) if kind == "fake" else rng.randint(2, 5)
        with counted(kind, number, bad, fault, during, restarts, lost, down):
            steps(line, rng, rng.randint(0, 4), line.places.names)
            line.places.fail(bad, fault)
            if restarts < 0.4:
                line.restart()
            steps(line, rng, during, {good})
            if lost < 0.3:
                lose(line, good)
            if down < 0.6:
                end(line, good)
            check(line, {good})
            line.places.mend()
            settle(line, ended=down < 0.6)


def test_engines_too_busy_for_their_probe_are_kept_and_dead_ones_replaced_while_a_place_fails(world, monkeypatch):
    silent = Unready(why="it gave no answer", silent=True)
    engines = {"answer": True, "compute": True}
    monkeypatch.setattr("workers.control.sweeper.probe", told(lambda *_, **__: None if engines["answer"] else silent))
    monkeypatch.setattr("workers.control.sweeper.computes", told(lambda *_, **__: engines["compute"]))
    for number in range(SCHEDULES["busy"]):
        rng = random.Random(f"{SEED} busy {number}")
        engines |= {"answer": True, "compute": True}
        line = world("fake", f"busy-{number}")
        bad, fault = rng.choice(line.places.names), rng.choice(line.places.faults)
        (good,) = (name for name in line.places.names if name != bad)
        busy = {a.number for a in line.state.ready}
        own = {a.number for a in line.state.ready if line.place(a) == good}
        with counted("busy", number, bad, fault):
            engines["answer"] = False
            line.places.fail(bad, fault)
            until = line.clock.now + timedelta(minutes=10)
            while line.clock.now < until:
                steps(line, rng, 1, {good})
                kept = {a.number for a in line.state.ready if line.place(a) == good}
                assert own <= kept, "a busy engine was taken for a dead one"
            line.places.mend()
            engines["compute"] = False
            line.until(lambda line=line, busy=busy: not busy & {a.number for a in line.state.live}, 25, seconds=8)
            engines["answer"] = True
            line.until(lambda line=line: len(line.state.ready) == 2, 60, seconds=10)


def lose(line, good):
    """The cloud deletes the machine in the healthy place: it is noticed, and replaced."""
    (attempt,) = (a for a in line.state.live if line.place(a) == good)
    line.places.delete(attempt.request.token)
    line.until(lambda: attempt.number not in {a.number for a in line.state.live}, STEPS_TO_END)


def end(line, good):
    """A person ends the deployment: the machines in the healthy place end, the others are not said to have ended."""
    line.requests.stop(line.id, by="U")
    here = [a.request.token for a in line.state.attempts if a.machine and line.place(a) == good]
    line.until(lambda: not any(line.places.runs(token) for token in here), STEPS_TO_END)
    there = [a.request.token for a in line.state.attempts if a.machine and line.place(a) != good]
    assert line.state.ended is None or not any(line.places.runs(token) for token in there)


def settle(line, *, ended):
    """Once everything answers, the machines that run are the wanted ones, and nothing is said to be lost."""

    def holds():
        state = line.state
        running = {a.request.token for a in state.attempts if a.machine and line.places.runs(a.request.token)}
        if ended:
            return state.ended is not None and not running
        live = {a.request.token for a in state.ready}
        return len(live) == 2 and running == live

    line.until(holds, 60, seconds=10)  # refusals for lack of capacity last 5 min
    line.until(lambda: ended or not any(a.lost for a in line.state.attempts), 13, seconds=30)
    assert all(not a.lost for a in line.state.attempts if a.phase not in MAY_COST)


@pytest.mark.parametrize("cloud", ["aws", "gcp"])
def test_credentials_that_are_replaced_in_time_cost_no_machine(world, cloud):
    kind, old = f"{cloud} credentials", "first"
    for number in range(SCHEDULES[kind]):
        rng = random.Random(f"{SEED} {kind} {number}")
        line = world(cloud, f"keys-{cloud}-{number}")
        before, gap, after = rng.randint(0, 3), rng.randint(-2, 4), rng.randint(10, 16)
        with counted(kind, number, before, gap, after):
            steps(line, rng, before, line.places.names)
            new = f"n{number:04}"
            for happens in (False, True) if gap < 0 else (True, False):
                if happens:
                    line.places.outdate(old)
                else:
                    line.places.write_key(new)
                steps(line, rng, abs(gap), line.places.names)
            steps(line, rng, after, line.places.names)
            assert all(a.expires_at > line.clock.now for a in line.state.ready)
            line.requests.stop(line.id, by="U")
            line.until(lambda line=line: line.state.ended is not None, STEPS_TO_END)
        old = new


def test_at_least_the_wanted_number_of_schedules_ran():
    if len(tally) < len(SCHEDULES):
        pytest.skip("the count holds for the whole file only")
    assert tally.total() >= AT_LEAST, dict(tally)
