"""Which clocks a launch gets: its own, else the recipe's, else the policy's, and never beyond the policy's maximum."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.commands.launch_clocks import clocks_of, said
from bot.language.command import Launch
from recipes import schema
from tests.builders.recipes import SCRIPTED
from workers.policy.clocks import Clocks

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SPANS = st.none() | st.timedeltas(timedelta(minutes=30), timedelta(days=90))
TEXTS = st.sampled_from(["", "mon 09:00-12:00 UTC", "tue 09:00-12:00 UTC"])


@given(st.tuples(SPANS, SPANS, SPANS), SPANS, st.tuples(SPANS, SPANS, SPANS), st.tuples(TEXTS, TEXTS, TEXTS))
def test_the_launch_comes_before_the_recipe_and_the_recipe_before_the_policy(lasts, most, idle, hours):
    asked, own, default = lasts
    recipe = replace(SCRIPTED, clocks=schema.RecipeClocks(lasts=own, stop_after_idle=idle[1], hours=hours[1]))
    policy = Clocks(lasts=default, most_lasts=most, stop_after_idle=idle[2], hours=hours[2])
    command = Launch(stop_after_idle=idle[0], hours=hours[0] or None)
    found = clocks_of(command, NOW + asked if asked else None, recipe, policy, NOW)
    wanted = asked or own or default
    at_most = min(filter(None, (wanted, most)), default=None)
    assert found.until == (NOW + at_most if at_most else None)
    assert found.stop_after_idle == next(filter(None, idle), None)
    assert found.hours == next(filter(None, hours), "")
    assert found.shortened == (at_most != wanted)


def test_without_any_there_is_none_and_nothing_is_said():
    assert said(clocks_of(Launch(), None, SCRIPTED, Clocks(), NOW), NOW) == ""


def test_a_maximum_of_the_policy_is_said():
    found = clocks_of(Launch(), None, SCRIPTED, Clocks(most_lasts=timedelta(days=1)), NOW)
    assert "because the policy allows no later end" in said(found, NOW)


def test_a_launch_that_ends_before_its_hours_begin_says_that_it_does_not_start():
    clocks = Clocks(hours="tue 09:00-12:00 UTC")
    assert "It starts" in said(clocks_of(Launch(), NOW + timedelta(hours=22), SCRIPTED, clocks, NOW), NOW)
    early = said(clocks_of(Launch(), NOW + timedelta(hours=8), SCRIPTED, clocks, NOW), NOW)
    assert "It does not start before its end, because its hours begin" in early
    assert "It starts" not in early
