"""`mixtral-bot check` says that no worker runs, and what the control loop cannot do, with the time of the end."""

from datetime import timedelta

import pytest

from bot.cli.check_control import control
from tests.builders.events import BEGIN
from tests.builders.story import Story
from workers.control.sweeper import LEASE
from workers.deployment.events import Control, Version
from workers.deployment.log import Log
from workers.lease import Lease

UNTIL = (BEGIN + timedelta(days=1)).strftime("%Y-%m-%d %H:%M UTC")


@pytest.fixture
def checked(redis, valkey_url):
    """The findings about a deployment with this log."""

    def check(story=None):
        if story is not None:
            redis.hset("mixtral:names", story.state.name, story.id)
            Log(redis).record(story.id, Version(0), story.events)
        return control({"REDIS_URL": valkey_url})

    return check


def test_no_worker_and_nothing_to_watch_is_no_failure(checked):
    (found,) = checked()
    assert (found.works, found.says, found.mend) == (None, "none runs", "start `mixtral-bot worker`")


def test_no_worker_is_said_with_the_time_at_which_the_machines_end_themselves(checked):
    (found,) = checked(Story().served())
    assert found.works is False
    assert found.says == f"none runs, so no lease is extended: 1 machine ends itself from {UNTIL} on"


def test_a_worker_that_runs_is_seen_by_its_lease(checked, redis):
    with Lease(redis, LEASE, timedelta(seconds=10)).held():
        (found,) = checked(Story().served())
    assert (found.works, found.says) == (True, "one runs and watches the machines")


def test_what_the_cloud_does_not_let_the_control_loop_do_is_said(checked):
    story = Story().served().control_lost(Control.LIST, "denied").stopped().control_lost(Control.END, "protected.")
    _, listing, end = checked(story)
    since = BEGIN.strftime("%Y-%m-%d %H:%M UTC")
    assert listing.says.startswith("replica 1 of smollm2-135m in local here cannot be listed since ")
    assert end.says == (
        f"replica 1 of smollm2-135m in local here cannot be ended since {since}: protected; it ends itself at {UNTIL}"
    )
    assert (listing.works, end.works) == (False, False)


def test_a_redis_that_does_not_answer_has_its_own_finding(checked):
    assert control({"REDIS_URL": "redis://127.0.0.1:1/0"}) == []
    assert control({}) == []
