"""`mixtral-bot check` reports what the control loop cannot do with its machines, and when they end themselves."""

from datetime import timedelta

import pytest

from bot.cli.check_control import control
from tests.builders.events import BEGIN
from tests.builders.story import Story
from workers.deployment.events import Control, Version
from workers.deployment.log import Log

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


def test_what_the_cloud_does_not_let_the_control_loop_do_is_said(checked):
    story = Story().served().control_lost(Control.LIST, "denied").stopped().control_lost(Control.END, "protected.")
    listing, end = checked(story)
    since = BEGIN.strftime("%Y-%m-%d %H:%M UTC")
    assert listing.says.startswith("listing replica 1 of smollm2-135m in local here has failed since ")
    assert end.says == (
        f"ending replica 1 of smollm2-135m in local here has failed since {since}: protected; it ends itself at {UNTIL}"
    )
    assert (listing.works, end.works) == (False, False)


def test_a_redis_that_does_not_answer_has_its_own_finding(checked):
    assert control({"REDIS_URL": "redis://127.0.0.1:1/0"}) == []
    assert control({}) == []


def test_machines_of_another_installation_in_the_logs_are_named_with_both_ids(checked, redis):
    told = Story().served()
    ours = told.state.attempts[0].request.installation
    redis.set("mixtral:installation", ours)
    assert checked(told) == []
    redis.set("mixtral:installation", "i-other")
    (found,) = checked()
    assert (found.about, found.what, found.works) == ("Redis", "installation", False)
    assert f"it is of the installation i-other, but its logs contain machines of the installation {ours}" in found.says
    assert "neither observed nor ended here" in found.says
    assert f"give {ours} a Redis of its own" in found.mend
