"""The section `clocks` of a recipe and of a policy."""

from datetime import timedelta

import msgspec
import pytest
from msgspec import UNSET

from recipes.loader import load
from recipes.schema import Recipe, RecipeClocks, RecipeError
from workers.policy import clocks as policy
from workers.policy.schema import PolicyError, policy_of

SERVED = "run: serve\n"


def test_a_recipe_says_when_its_deployments_end_and_pause():
    text = f'{SERVED}clocks:\n  lasts: 1d12h\n  stop_after_idle: 2h\n  hours: "Mon-Fri 09:00-19:00 Europe/Paris"\n'
    recipe = load(text, {})
    wanted = RecipeClocks(
        lasts=timedelta(hours=36), stop_after_idle=timedelta(hours=2), hours="mon-fri 09:00-19:00 Europe/Paris"
    )
    assert recipe.clocks == wanted
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe
    assert recipe.notes == ()


def test_a_recipe_without_clocks_is_encoded_as_before():
    recipe = load(SERVED, {})
    assert recipe.clocks is UNSET
    assert b"clocks" not in msgspec.json.encode(recipe)


@pytest.mark.parametrize(
    ("clocks", "sentence"),
    [
        ("lasts: 8", "clocks.lasts: .* is no time from 30m to 90d"),
        ("lasts: 5m", "is no time from 30m to 90d"),
        ("stop_after_idle: soon", "is no time from 30m to 90d"),
        ("hours: mon 19:00-09:00 UTC", "closes before it opens"),
        ("hours: mon 09:00-12:00 mon 11:00-13:00 UTC", "overlap"),
        ("hours: mon 09:00-12:00 Mars/Olympus", "There is no time zone"),
        ("stop_after_idel: 2h", "did you mean stop_after_idle"),
        ("most_lasts: 2h", "is no field of the section clocks"),
    ],
)
def test_clocks_that_cannot_be_meant_are_refused_with_their_line(clocks, sentence):
    with pytest.raises(RecipeError, match=sentence) as refused:
        load(f"{SERVED}clocks:\n  {clocks}\n", {})
    assert refused.value.line == 3


def test_a_policy_has_the_same_fields_and_a_maximum():
    found = policy_of(b"clocks:\n  stop_after_idle: 3h\n  most_lasts: 7d\n", "policy.yaml").clocks
    assert found == policy.Clocks(stop_after_idle=timedelta(hours=3), most_lasts=timedelta(days=7))


def test_a_policy_with_overlapping_hours_is_refused_whole():
    with pytest.raises(PolicyError, match=r"policy.yaml:2: clocks.hours: .*overlap"):
        policy_of(b"clocks:\n  hours: mon 09:00-12:00 mon 11:00-13:00 UTC\n", "policy.yaml")
