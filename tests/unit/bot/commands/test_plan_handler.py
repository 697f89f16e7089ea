"""A plan keeps what was asked, and limits that nothing satisfies start nothing."""

import pytest
from msgspec.structs import replace

from bot.commands import handlers
from bot.commands.context import Caller
from bot.commands.recipe_catalog import RecipeCatalog
from bot.language.grammar import parse
from tests.fakes.office import RECIPES, Office
from tests.fakes.planned import planner


@pytest.fixture
def office(redis):
    office = Office(redis)
    recipes = RecipeCatalog((RECIPES,), {}, "mixtral-8x7b")
    office.context = replace(office.context, recipes=recipes, ladder=planner())
    return office


def buttons(office, typed):
    """The buttons of a plan."""
    message = handlers.handle(parse(typed), Caller(team="T1", channel="C", user="U1", once="1"), office.context)
    return [element for block in message.blocks for element in block.get("elements", ()) if "value" in element]


@pytest.mark.parametrize(
    ("plan", "launch"),
    [
        ("plan --spot", "launch mixtral-8x7b --spot"),
        ("plan", "launch mixtral-8x7b"),
        (
            "plan mixtral-8x7b --spot --gpus A100:8 --clouds aws,gcp --max-price 20",
            "launch mixtral-8x7b --spot --gpus A100:8 --clouds aws,gcp --max-price 20",
        ),
    ],
)
def test_a_plan_advises_the_launch_that_it_planned(office, plan, launch):
    said = office.says(plan)
    assert f"`/mixtral {launch}` starts it." in said
    assert f"'value': '- /mixtral {launch}'" in str(buttons(office, plan))
    assert (f"*mixtral-8x7b* with `{flags}`" if (flags := launch[20:]) else "*mixtral-8x7b*,") in said


@pytest.mark.parametrize(
    ("limits", "cause", "nearest"),
    [
        ("--max-price 1", "costs at most 1 USD/h; the cheapest is 7.98", "--max-price 7.98"),
        ("--max-price 1 --clouds aws", "the cheapest is 8.29", "--clouds aws --max-price 8.29"),
        ("--gpus T4", "takes L4:8, RTXPRO6000:2", "--gpus L4:8"),
        ("--gpus T4 --max-price 1", "takes L4:8, RTXPRO6000:2", "--gpus L4:8 --max-price 7.98"),
        ("--spot --gpus T4", "takes L4:8, RTXPRO6000:2", "--spot --gpus L40S:4"),
    ],
)
def test_impossible_limits_are_refused_privately_with_the_nearest_that_would_do(office, limits, cause, nearest):
    for word, rest in (("launch", "mixtral-8x7b as fast --replicas 2"), ("plan", "mixtral-8x7b")):
        said = office.says(f"{word} {rest} {limits}")
        assert cause in said
        assert f"`/mixtral {word} {rest} {nearest}`" in said
    assert office.requests.all() == []
    assert office.nudged == []
    assert "Launching" in office.says(f"launch mixtral-8x7b as fast --replicas 2 {nearest}")


def test_a_launch_on_a_workers_own_host_is_left_to_the_workers_which_know_its_gpus(office):
    assert "is sold on local; there are some on aws, gcp" in office.says("plan mixtral-8x7b --clouds local")
    assert "Launching" in office.says("launch mixtral-8x7b --clouds local")


def test_a_recipe_without_gpus_is_advised_to_leave_them_out(office):
    said = office.says("launch scripted --gpus T4")
    assert "scripted asks for no GPU, and `--gpus` allows only machines with T4:1" in said
    assert "`/mixtral launch scripted`" in said


def test_a_price_table_that_cannot_be_read_is_the_launchs_own_story(office):
    office.context = replace(office.context, ladder=lambda *_: ((), "prices.csv cannot be read"))
    assert "Launching" in office.says("launch mixtral-8x7b --spot")


def test_a_recipe_that_is_like_no_other_is_answered_with_the_list(office):
    said = office.says("launch llama-3-70b")
    assert "There is no recipe `llama-3-70b`. The recipes are" in said
    assert "`/mixtral recipes`" in said
    assert "/mixtral launch" not in said
    assert "/mixtral launch mixtral-8x7b --spot" in office.says("launch mixtral --spot")


def test_a_launch_says_what_its_replicas_cost_by_the_hour_and_the_day_by_the_cheapest_offer(office):
    said = office.says("launch as one")
    assert "Launching *one*" in said
    assert (
        "It costs 7.98 USD/h (191.45 USD per day) at the cheapest offer, and 49.98 USD/h at the most expensive." in said
    )
    assert "2 replicas cost 15.95 USD/h (382.90 USD per day)" in office.says("launch as two --replicas 2")
    office.context = replace(office.context, ladder=lambda *_: ((), "prices.csv cannot be read"))
    assert "USD" not in office.says("launch as unknown")
