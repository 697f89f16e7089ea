"""An empty ladder is explained by the one limit that stands in the way."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from recipes.loader import find, load
from tests.builders.offers import HERE, offer
from workers.placement import catalog
from workers.placement.explain_empty import gaps, why_empty
from workers.placement.limits import Limits
from workers.placement.planner import plan

MIXTRAL = load(find("mixtral-8x7b"), {})
COMPUTER = replace(HERE, vcpus=2, memory_gib=Decimal(24))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_price": Decimal(1)}, "costs at most 1 USD/h; the cheapest is 7.98 USD/h (L4:8 on gcp)."),
        ({"clouds": ("local",)}, "is sold on local; there are some on aws, gcp."),
        ({"gpus": ("H100:8",)}, "none of them is H100:8."),
        ({"clouds": ("local",), "max_price": Decimal(1)}, "satisfies all of these limits"),
    ],
)
def test_the_limit_in_the_way_is_named(limits, says):
    offers = catalog.load()
    assert plan(MIXTRAL, offers, Limits(**limits)) == ()
    assert says in why_empty(MIXTRAL, offers, Limits(**limits))


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ("{accelerators: A100:3}", "A100:3: no machine has 3 of this GPU; available: A100:1, A100:2, A100:4, A100:8."),
        ("{accelerators: A100:8, infra: aws/nowhere}", "its requirements: A100:8 in aws/nowhere."),
        ("{cpus: 32+}", "asks for no GPU, and the price table lists only machines with GPUs; this host has 2 vCPUs"),
        ("{accelerators: A100:8, max_hourly_cost: 0.5}", "A100:8 at most 0.5 USD/h"),
        (
            "{accelerators: H100:2}",
            "is sold on demand; as spot (`--spot`), the cheapest is 2.55 USD/h (H100:2 on gcp).",
        ),
        ("{instance_type: x9}", "its requirements: x9."),
    ],
)
def test_a_recipe_that_nothing_satisfies_is_told_what_it_asks_for(resources, says):
    recipe = load(f"run: x\nresources: {resources}", {})
    offers = (*catalog.load(), COMPUTER)
    assert plan(recipe, offers) == ()
    assert says in why_empty(recipe, offers)


def test_spot_that_nobody_sells():
    assert "on demand, the cheapest is 3.00" in why_empty(
        MIXTRAL, [offer(usd=3, gpu="A100:4")], Limits(spot=True, gpus=("A100:4",))
    )


def test_a_gpu_that_is_sold_as_spot_only_is_told_beside_the_others():
    recipe = load("run: x\nresources: {accelerators: {H100:2, H100:8}}", {})
    offers = catalog.load()
    assert gaps(recipe, offers, plan(recipe, offers)) == ("H100:2 is sold as spot only: `--spot` asks for spot.",)
    assert gaps(recipe, offers, plan(recipe, offers, Limits(spot=True))) == ()


def test_a_gpu_without_a_rung_is_told_beside_the_others():
    recipe = load("run: x\nresources: {accelerators: {A100:3, A100:8}}", {})
    offers = catalog.load()
    assert gaps(recipe, offers, plan(recipe, offers)) == (
        "A100:3: no machine has 3 of this GPU; available: A100:1, A100:2, A100:4, A100:8.",
    )
