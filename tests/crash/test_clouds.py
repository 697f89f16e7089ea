"""Workers die before and after every step on both clouds, answers are lost, workers compete: no machine is lost."""

import contextlib
import gc
import os
import random
import time
from collections import Counter

import google.cloud.compute_v1  # noqa: F401 - imported here once, because it takes seconds in each child
import pytest

from tests.crash.life import WANTED, Life
from tests.crash.mortal import Point
from tests.crash.stand_ins import StandIns
from tests.crash.worker import driver_of
from tests.patience import PATIENCE

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

SEED = int(os.environ.get("MIXTRAL_KILL_SEED", "2026"))
AT_LEAST = 200

KINDS = {"aws": ("aws", False), "gcp": ("gcp", False), "gcp, one zone": ("gcp", True)}
"""Cloud, and whether the ladder has one zone only, for which GCE has another launch call."""

LAUNCHES = {"aws": ("CreateFleet",), "gcp": ("instances.insert", "regionInstances.bulkInsert")}
LOSABLE = {
    "aws": (
        *("CreateFleet", "CreateLaunchTemplate", "DeleteLaunchTemplate", "CreateSecurityGroup"),
        *("AuthorizeSecurityGroupIngress", "TerminateInstances", "DescribeInstances"),
    ),
    "gcp": (
        *("regionInstances.bulkInsert", "instances.insert", "instances.delete", "firewalls.insert"),
        *("operations.wait", "instances.aggregatedList", "instances.get"),
    ),
}
SLOW = {
    "aws": ("CreateFleet", "CreateLaunchTemplate", "DescribeInstances"),
    "gcp": ("regionInstances.bulkInsert", "instances.insert", "operations.wait"),
}
SLOW_BY = 0.3

every_kind = pytest.mark.parametrize("kind", KINDS)
tally: Counter[str] = Counter()
"""Kill points and schedules of each test."""


@pytest.fixture(scope="module")
def world(request, valkey_url, tmp_path_factory):
    began = time.monotonic()
    gc.freeze()
    made = StandIns(tmp_path_factory.mktemp("clouds"))
    made.redis_url = valkey_url
    for cloud in LAUNCHES:
        driver_of(cloud, made.environ).find("nothing")  # imports the SDKs before any child is forked
    yield made
    made.close()
    gc.unfreeze()
    took = time.monotonic() - began
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    terminal.write_line(f"\n{tally.total()} kill points and schedules in {took:.0f} s, seed {SEED}: {dict(tally)}")


@contextlib.contextmanager
def counted(test, kind, *what):
    """Count a schedule. To a failure, add what reproduces it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{kind}: {', '.join(map(str, what))}; MIXTRAL_KILL_SEED={SEED}")
        raise
    tally[test] += 1


def life_of(world, kind, name):
    cloud, alone = KINDS[kind]
    return Life(world, cloud, f"{'-'.join(kind.replace(',', '').split())}-{name}", alone=alone)


@pytest.fixture(scope="module")
def steps(world):
    """Kind of each step of each phase, in a life without faults."""
    found = {}
    for kind in KINDS:
        life = life_of(world, kind, "undisturbed")
        for phase in WANTED:
            life.ask(phase)
            found[kind, phase] = life.start().ended()
            life.mend()
            assert life.check() == 2
    return found


@pytest.fixture
def points(steps, kind):
    """The points at which a worker can die, by phase."""
    sides = ("before", "after")
    return {phase: [Point(n, side) for n in range(len(steps[kind, phase])) for side in sides] for phase in WANTED}


@every_kind
def test_a_worker_that_is_killed_before_or_after_any_step_loses_nothing(world, kind, steps, points):
    for number in range(max(map(len, points.values()))):
        life = life_of(world, kind, f"kill-{number}")
        for phase in [phase for phase in WANTED if number < len(points[phase])]:
            life.ask(phase)
            point = points[phase][number]
            with counted("kills", kind, phase, point, steps[kind, phase][point.step]):
                done = life.start(point).ended()
                assert done is None or len(done) <= point.step, "it was not killed"  # threads share some calls
                life.mend()
                assert life.check() == 2
        if life.wanted:  # keeps the quotas from being used up
            life.ask("down")
            life.mend()


@every_kind
def test_one_kill_after_another_loses_nothing(world, kind, points):
    rng = random.Random(f"{SEED} {kind}")
    for number in range(4):
        life = life_of(world, kind, f"kills-{number}")
        for phase in WANTED:
            life.ask(phase)
            schedule = [rng.choice(points[phase]) for _ in range(rng.randint(2, 5))]
            with counted("kills in a row", kind, phase, number, *schedule):
                for point in schedule:
                    life.start(point).ended()
                    life.pass_time()
                life.mend()
                assert life.check() == 2


@every_kind
def test_answers_that_are_lost_after_the_effect_lose_nothing(world, kind, points):
    rng = random.Random(f"{SEED} {kind}")
    cloud, _ = KINDS[kind]
    for call in LOSABLE[cloud]:
        life = life_of(world, kind, f"lost-{call.replace('.', '-').lower()}")
        for phase in WANTED:
            times = rng.choice([1, 4])  # more often than a client repeats a call
            world.fault(cloud, "lost", call, times=times)
            life.ask(phase)
            point = rng.choice([None, *points[phase]]) if times == 1 else None
            with counted("lost answers", kind, phase, call, f"{times} times", point):
                life.start(point).ended()
                life.mend()
                assert life.check() == 2


@every_kind
def test_a_down_while_a_create_runs_leaves_nothing(world, kind):
    rng = random.Random(f"{SEED} {kind}")
    cloud, _ = KINDS[kind]
    for number in range(14):
        call = rng.choice(SLOW[cloud][:2] if number % 2 else SLOW[cloud])
        after, dies = rng.uniform(0, 1.3 * SLOW_BY), rng.choice([None, 0.0, rng.uniform(0, SLOW_BY)])
        leased, lost = rng.choice([True, False]), rng.choice([True, False])
        life = life_of(world, kind, f"down-{number}")
        world.fault(cloud, "slow", call, seconds=SLOW_BY, times=1)
        if lost:
            world.fault(cloud, "lost", call, times=1)
        with counted("down meanwhile", kind, number, call, f"after {after:.2f} s", dies, leased, lost):
            life.ask("launch")
            first = life.start()
            until(lambda call=call: world.called(cloud, [call]) or world.called(cloud, LAUNCHES[cloud]))
            time.sleep(after)
            life.ask("down")
            second = life.start(leased=leased)
            if dies is not None:
                time.sleep(dies)
                first.kill()
            first.ended()
            second.ended()
            life.mend(after=SLOW_BY)
            life.check()


@every_kind
def test_two_workers_on_one_intent_make_one_machine(world, kind, points):
    rng = random.Random(f"{SEED} {kind}")
    cloud, _ = KINDS[kind]
    for number in range(4):
        life = life_of(world, kind, f"two-{number}")
        for phase in WANTED:
            life.ask(phase)
            intended = Point(1, "after")
            before = rng.choice([None, intended]) if phase == "launch" else None
            slow = rng.choice([None, *SLOW[cloud]])
            late = [rng.uniform(0, 0.05) for _ in range(2)]
            dies = [rng.choice([None, None, *rng.sample(points[phase], 2)]) for _ in range(2)]
            with counted("two workers", kind, phase, number, before, slow, late, dies):
                if before:
                    assert life.start(before).ended() is None
                    life.pass_time()
                if slow:
                    world.fault(cloud, "slow", slow, seconds=0.1, times=2)
                both = [life.start(p, leased=False, after=a) for p, a in zip(dies, late, strict=True)]
                for worker in both:
                    worker.ended()
                life.mend(after=0.2)
                assert life.check() == 2


def test_at_least_the_wanted_number_of_schedules_ran():
    if len(tally) < 5:
        pytest.skip("the count holds for the whole file only")
    assert tally.total() >= AT_LEAST, dict(tally)


def until(true, within=20.0):
    give_up_at = time.monotonic() + within * PATIENCE
    while not true():
        assert time.monotonic() < give_up_at, "the condition did not become true in time"
        time.sleep(0.005)
