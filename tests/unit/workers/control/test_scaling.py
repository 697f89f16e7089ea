"""What the engines queue reaches the decision, and a slow engine is neither waited for nor asked twice at a time."""

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.builders.recipes import scaled_by
from tests.builders.story import Story
from workers.control.scaling import ASK_ENGINES_EVERY, Autoscaler
from workers.decision.autoscale import autoscale
from workers.deployment.keys import Secrets
from workers.deployment.loads import Load

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def engine(monkeypatch, asked):
    """The engine's queue: set `count`, or clear `answers` to have it hang."""
    engine = SimpleNamespace(count=7, answers=threading.Event())
    engine.answers.set()

    async def waiting(address, *, key):
        asked.append((address, key))
        assert engine.answers.wait(30)
        return engine.count

    monkeypatch.setattr("workers.control.scaling.waiting", waiting)
    yield engine
    engine.answers.set()


@pytest.fixture
def look(monkeypatch, redis):
    """Looks once at a deployment's load and returns how many requests the decision is told to be in the queues."""
    heard = []

    def decide(policy, wanted, load, *rest):
        heard.append(load.waiting)
        return autoscale(policy, wanted, load, *rest)

    monkeypatch.setattr("workers.control.scaling.autoscale", decide)
    state = Story("m", scaled_by(min_replicas=1, max_replicas=2), at=NOON).answers_at("http://127.0.0.1:1").state
    log: Any = SimpleNamespace(secrets=lambda _: Secrets(replica="mxk_replica"))
    scaling = Autoscaler(redis, log)

    def at(now, states=(state,)):
        scaling._loads.write({state.id: Load(at=now, qps=0.0)})
        scaling.look(states, now)
        return heard[-1]

    return at


def soon(look, now):
    """The first answer that there is, asked at one moment of the clock."""
    give_up_at = time.monotonic() + 30
    while (told := look(now)) is None and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return told


def test_the_queues_are_asked_beside_the_sweep_and_known_until_they_are_asked_again(look, asked, engine):
    assert look(NOON) is None
    assert soon(look, NOON + SECOND) == 7
    engine.count = 0
    assert look(NOON + ASK_ENGINES_EVERY - SECOND) == 7
    assert len(asked) == 1
    assert look(NOON + ASK_ENGINES_EVERY) == 7, "what was known, while it is asked anew"
    assert soon(look, NOON + ASK_ENGINES_EVERY + SECOND) == 0
    assert asked == [("http://127.0.0.1:1", "mxk_replica")] * 2


def test_the_queues_are_asked_again_after_the_clock_was_set_back(look, asked, engine):
    """Else a queue of that moment would hold for hours, and buy replicas."""
    look(NOON)
    assert soon(look, NOON + SECOND) == 7
    engine.count = 0
    before = NOON - 7200 * SECOND
    look(before)
    give_up_at = time.monotonic() + 30
    while look(before + SECOND) != 0 and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert look(before + SECOND) == 0


def test_an_engine_that_hangs_is_asked_once_and_tells_once_it_answers(look, asked, engine):
    engine.answers.clear()
    for seconds in range(0, 60, 5):
        assert look(NOON + seconds * SECOND) is None
    give_up_at = time.monotonic() + 30
    while not asked and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert len(asked) == 1
    engine.answers.set()
    assert soon(look, NOON + SECOND) == 7
    look(NOON + ASK_ENGINES_EVERY)
    assert soon(look, NOON + ASK_ENGINES_EVERY) == 7
    assert len(asked) == 2


def test_an_answer_about_a_deployment_that_was_gone_meanwhile_is_dropped(look, asked, engine):
    engine.answers.clear()
    look(NOON)
    look(NOON, states=())
    engine.answers.set()
    assert look(NOON + SECOND) is None
    assert soon(look, NOON + SECOND) == 7
    assert len(asked) == 2
