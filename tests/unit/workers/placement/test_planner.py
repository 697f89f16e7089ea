"""The ladder: every offer that satisfies a recipe, in one order that depends on nothing else."""

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from recipes.loader import find, load
from recipes.schema import (
    Accelerator,
    Minimum,
    Recipe,
    RecipeError,
    ReplicaPolicy,
    Resources,
    Service,
)
from tests.builders.offers import HERE, offer
from workers.placement import catalog
from workers.placement.limits import Limits
from workers.placement.offer import CloudStatus, Offer
from workers.placement.planner import plan
from workers.placement.unpriced import unpriced

MIXTRAL = load(find("mixtral-8x7b"), {})
ALL_USABLE = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp", "local")}
COMPUTER = replace(HERE, vcpus=2, memory_gib=Decimal(24))


def sized(usd, gpu="A100:1", zone="r-a", **more):
    fields: dict[str, Any] = {"instance_type": "t", "vcpus": 8, "memory_gib": Decimal(64)} | more
    return offer(zone, usd, gpu, **fields)


def wants(*gpus, **more):
    accelerators = tuple(Accelerator(name=n, count=int(c)) for n, c in (g.split(":") for g in gpus))
    return Recipe(name="r", resources=(Resources(accelerators=accelerators, **more),))


def ladder(recipe, offers, **limits):
    return [rung.offer for rung in plan(recipe, offers, Limits(**limits), statuses=ALL_USABLE)]


def first_of_each(recipe, **limits):
    seen = {}
    for found in ladder(recipe, catalog.load(), **limits):
        seen.setdefault((found.cloud, found.accelerator, found.count), found.usd_per_hour)
    return [(*key, round(price, 2)) for key, price in seen.items()]


def test_mixtral_plans_its_candidates_cheapest_first():
    assert first_of_each(MIXTRAL) == [
        ("gcp", "L4", 8, Decimal("7.98")),
        ("aws", "RTXPRO6000", 2, Decimal("8.29")),
        ("gcp", "A100-80GB", 2, Decimal("10.14")),
        ("aws", "L40S", 4, Decimal("10.49")),
        ("aws", "L4", 8, Decimal("13.35")),
        ("gcp", "A100", 4, Decimal("14.69")),
        ("gcp", "A100-80GB", 4, Decimal("20.28")),
        ("aws", "A100", 8, Decimal("21.96")),
        ("aws", "A100-80GB", 8, Decimal("27.45")),
        ("gcp", "A100", 8, Decimal("29.39")),
        ("gcp", "A100-80GB", 8, Decimal("40.55")),
    ]
    assert first_of_each(MIXTRAL, spot=True)[:6] == [
        ("aws", "L40S", 4, Decimal("2.16")),
        ("aws", "L4", 8, Decimal("2.21")),
        ("aws", "A100", 8, Decimal("2.47")),
        ("gcp", "L4", 8, Decimal("3.07")),
        ("aws", "RTXPRO6000", 2, Decimal("3.48")),
        ("gcp", "A100-80GB", 2, Decimal("3.56")),
    ]


@pytest.mark.timed
def test_planning_takes_less_than_20_ms():
    offers, took = catalog.load(), []
    for _ in range(5):
        began = time.thread_time()
        plan(MIXTRAL, offers, Limits(spot=True), statuses=ALL_USABLE)
        took.append(time.thread_time() - began)
    assert min(took) < 0.020


def test_doubtful_prices_come_after_every_sound_one():
    found = ladder(MIXTRAL, catalog.load(), spot=True)
    doubts = [bool(one.doubtful) for one in found]
    assert doubts == sorted(doubts)
    assert any(doubts)
    sound = [one.usd_per_hour for one in found if not one.doubtful]
    assert sound == sorted(sound)


def test_a_doubtful_price_is_not_preferred_however_low_it_is():
    low = sized(1, zone="r-1", doubtful="why")
    assert ladder(wants("A100:1"), [low, sized(9, zone="r-2")]) == [sized(9, zone="r-2"), low]


def test_an_offer_without_price_comes_last_and_is_not_usable():
    rungs = plan(wants("A100:1"), [sized(None, zone="r-1"), sized(1, zone="r-2")], statuses=ALL_USABLE)
    assert [rung.usable for rung in rungs] == [True, False]
    assert "no price" in rungs[1].reason
    assert "MIXTRAL_PRICES" in rungs[1].mend


def test_a_gpu_that_the_table_lacks_is_a_named_rung_without_price():
    rungs = plan(wants("A10G:1", "L4:1"), unpriced(frozenset()), statuses=ALL_USABLE)
    assert [(r.offer.cloud, r.offer.instance_type, r.offer.usd_per_hour) for r in rungs] == [
        ("aws", "g5.xlarge", None),
        ("aws", "g6.xlarge", None),
        ("gcp", "g2-standard-4", None),
    ]


def test_of_types_without_price_the_smallest_that_does_is_named():
    found = ladder(wants("A10G:1", cpus=Minimum(amount=20, at_least=True)), catalog.load())
    assert [one.instance_type for one in found] == ["g5.8xlarge"]
    priced = ladder(wants("A10G:1"), catalog.load())
    assert all(one.usd_per_hour for one in priced)  # other sizes of a GPU that has a price are not listed without one


def test_a_gpu_that_nobody_sells_is_a_named_rung_of_no_cloud():
    rungs = plan(wants("A10:8", "A100:3"), catalog.load(), statuses=ALL_USABLE)
    assert [(r.offer.cloud, r.offer.accelerator, r.offer.count) for r in rungs] == [("", "A10", 8)]
    assert rungs[0].reason == "no cloud is known to sell A10"


def test_a_cloud_without_prices_is_a_named_rung_too():
    rungs = plan(wants("A100:8", cloud="azure"), catalog.load(), statuses=ALL_USABLE)
    assert [(r.offer.cloud, r.usable, r.reason) for r in rungs] == [
        ("azure", False, "this version cannot launch on azure")
    ]


def test_a_cloud_that_cannot_be_used_stays_with_its_reason():
    down = CloudStatus(cloud="aws", usable=False, reason="AWS: no credentials found", mend="set them")
    rungs = plan(MIXTRAL, catalog.load(), statuses={**ALL_USABLE, "aws": down})
    assert len(rungs) == len(plan(MIXTRAL, catalog.load(), statuses=ALL_USABLE))
    for rung in rungs:
        assert rung.usable == (rung.offer.cloud == "gcp")
        assert rung.reason == ("AWS: no credentials found" if rung.offer.cloud == "aws" else None)


def test_spot_means_spot_only_whether_the_person_or_the_recipe_says_so():
    table = [sized(5), sized(2, spot=True)]
    assert [o.spot for o in ladder(wants("A100:1"), table)] == [False]
    assert [o.spot for o in ladder(wants("A100:1"), table, spot=True)] == [True]
    assert [o.spot for o in ladder(wants("A100:1", use_spot=True), table)] == [True]


def test_on_demand_follows_spot_where_the_recipe_wants_a_fallback():
    service = Service(replica_policy=ReplicaPolicy(dynamic_ondemand_fallback=True))
    recipe = Recipe(name="r", resources=wants("A100:1", use_spot=True).resources, service=service)
    found = ladder(recipe, [sized(1, zone="r-1"), sized(2, spot=True)])
    assert [o.spot for o in found] == [True, False]


def test_on_demand_comes_before_spot_that_may_well_cost_as_much():
    service = Service(replica_policy=ReplicaPolicy(dynamic_ondemand_fallback=True))
    recipe = Recipe(name="r", resources=wants("A100:1", use_spot=True).resources, service=service)
    sound, doubtful = sized(2, zone="r-2", spot=True), sized(9, zone="r-1", spot=True, doubtful="equals")
    assert ladder(recipe, [doubtful, sized(9), sound]) == [sound, sized(9), doubtful]


def test_replicas_that_are_always_on_demand_have_their_rungs_beside_spot():
    service = Service(replica_policy=ReplicaPolicy(base_ondemand_fallback_replicas=1))
    table = [sized(9), sized(2, spot=True)]
    recipe = Recipe(name="r", resources=wants("A100:1").resources, service=service)
    assert [o.spot for o in ladder(recipe, table, spot=True)] == [True, False]
    assert [o.spot for o in ladder(recipe, table)] == [False]
    mixed = (*wants("A100:1", use_spot=True).resources, *wants("H100:1").resources)
    taken = ladder(Recipe(name="r", resources=mixed, service=service), [*table, sized(7, "H100:1")])
    assert [(o.accelerator, o.spot) for o in taken] == [("A100", True), ("H100", False)]


def test_ordered_alternatives_keep_their_order_and_price_decides_within():
    alternatives = (*wants("H100:1").resources, *wants("A100:1").resources)
    table = [sized(1, zone="a"), sized(9, "H100:1", zone="b"), sized(8, "H100:1", zone="c")]
    recipe = Recipe(name="r", resources=alternatives, ordered=True)
    assert [o.zone for o in ladder(recipe, table)] == ["c", "b", "a"]
    assert [o.zone for o in ladder(Recipe(name="r", resources=alternatives), table)] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("wanted", "does"),
    [
        ({"region": "r"}, True),
        ({"region": "r*"}, True),
        ({"region": "s"}, False),
        ({"zone": "r-a"}, True),
        ({"zone": "r-b"}, False),
        ({"cloud": "aws"}, False),
        ({"instance_type": "t"}, True),
        ({"instance_type": "u"}, False),
        ({"cpus": Minimum(amount=8)}, True),
        ({"cpus": Minimum(amount=4)}, False),
        ({"cpus": Minimum(amount=4, at_least=True)}, True),
        ({"memory": Minimum(amount=65, at_least=True)}, False),
        ({"memory": Minimum(amount=8, at_least=True), "memory_per_cpu": True}, True),
        ({"memory": Minimum(amount=9, at_least=True), "memory_per_cpu": True}, False),
        ({"max_hourly_cost": Decimal("4.9")}, False),
        ({"max_hourly_cost": Decimal(5)}, True),
    ],
)
def test_every_field_of_resources_is_honoured(wanted, does):
    assert bool([o for o in ladder(wants("A100:1", **wanted), [sized(5)]) if o.zone]) == does


def test_a_recipe_without_a_gpu_runs_here_and_takes_no_gpu_machine():
    recipe = load(find("smollm2-135m"), {})
    assert ladder(recipe, [*catalog.load(), COMPUTER]) == [COMPUTER]
    assert ladder(recipe, [*catalog.load(), COMPUTER], spot=True) == [COMPUTER]
    assert ladder(wants(cpus=Minimum(amount=1)), [COMPUTER]) == [COMPUTER]
    assert ladder(wants(cpus=Minimum(amount=32, at_least=True)), [COMPUTER]) == []


def test_a_gpu_recipe_runs_here_only_with_that_gpu():
    gpu = sized(0, zone="local here", instance_type="1xA100")
    assert ladder(wants("A100:1"), [sized(5), COMPUTER]) == [sized(5)]
    assert ladder(wants("A100:1"), [sized(5), COMPUTER, gpu]) == [gpu, sized(5)]


def test_limits_narrow_what_the_recipe_takes():
    offers = catalog.load()
    assert {(o.accelerator, o.count) for o in ladder(MIXTRAL, offers, gpus=("a100:8", "H100:8"))} == {("A100", 8)}
    assert {o.cloud for o in ladder(MIXTRAL, offers, clouds=("aws",))} == {"aws"}
    assert max(o.usd_per_hour for o in ladder(MIXTRAL, offers, max_price=Decimal(10))) <= 10
    with pytest.raises(RecipeError, match="unknown accelerator"):
        plan(MIXTRAL, offers, Limits(gpus=("A1000:1",)))


OFFERS = st.builds(
    Offer,
    cloud=st.sampled_from(["aws", "gcp", "local"]),
    region=st.sampled_from(["r", "s"]),
    zone=st.sampled_from(["r-a", "r-b", "s-a"]),
    instance_type=st.sampled_from(["t", "u"]),
    accelerator=st.sampled_from(["A100", "H100"]),
    count=st.sampled_from([1, 8]),
    spot=st.booleans(),
    usd_per_hour=st.none() | st.decimals(min_value="0.01", max_value=9, places=2),
    doubtful=st.none() | st.just("why"),
    vcpus=st.sampled_from([4, 8]),
    memory_gib=st.just(Decimal(32)),
)
RECIPES = st.builds(
    lambda resources, ordered: Recipe(name="r", resources=tuple(resources), ordered=ordered),
    st.lists(
        st.builds(
            Resources,
            accelerators=st.lists(
                st.builds(Accelerator, name=st.sampled_from(["A100", "H100"]), count=st.sampled_from([1, 8])),
                min_size=1,
            ).map(tuple),
            cloud=st.none() | st.sampled_from(["aws", "gcp"]),
            region=st.none() | st.sampled_from(["r", "s", "*"]),
            zone=st.none() | st.sampled_from(["r-a", "r-?"]),
            cpus=st.none() | st.builds(Minimum, amount=st.sampled_from([4.0, 8.0]), at_least=st.booleans()),
            use_spot=st.none() | st.booleans(),
        ),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
LIMITS = st.fixed_dictionaries(
    {
        "spot": st.booleans(),
        "gpus": st.lists(st.sampled_from(["A100:1", "A100:8", "H100:1"]), max_size=2).map(tuple),
        "clouds": st.lists(st.sampled_from(["aws", "gcp", "local"]), max_size=2).map(tuple),
        "max_price": st.none() | st.decimals(min_value=1, max_value=9, places=0),
    }
)


def does_by_hand(found, recipe, limits):
    """Whether an offer belongs to the ladder, put down a second time, without a look at the planner."""
    if limits["clouds"] and found.cloud not in limits["clouds"]:
        return False
    cap = limits["max_price"]
    if cap is not None and (found.usd_per_hour is None or found.usd_per_hour > cap):
        return False
    gpu = f"{found.accelerator}:{found.count}"
    if limits["gpus"] and gpu not in limits["gpus"]:
        return False
    for wanted in recipe.resources:
        spot = limits["spot"] or wanted.use_spot is True
        cpus = wanted.cpus
        if (
            gpu in [str(a) for a in wanted.accelerators]
            and (found.cloud == "local" or found.spot == spot)
            and wanted.cloud in (None, found.cloud)
            and (wanted.region in (None, "*", found.region))
            and (wanted.zone is None or found.zone.startswith("r-" if wanted.zone == "r-?" else wanted.zone))
            and (
                cpus is None
                or found.vcpus == cpus.amount
                or ((cpus.at_least or found.cloud == "local") and found.vcpus > cpus.amount)
            )
        ):
            return True
    return False


@settings(max_examples=300, deadline=None)
@given(st.lists(OFFERS, max_size=12), RECIPES, LIMITS)
def test_the_ladder_holds_exactly_the_offers_that_do(offers, recipe, limits):
    found = [rung.offer for rung in plan(recipe, offers, Limits(**limits), statuses=ALL_USABLE) if rung.offer.zone]
    wanted = [one for one in offers if does_by_hand(one, recipe, limits)]
    assert all(one in wanted for one in found)
    assert {_kind(one) for one in found} == {_kind(one) for one in wanted}


def _kind(one):
    """What makes a rung of its own."""
    trust = "none" if one.usd_per_hour is None else one.doubtful
    return (one.cloud, one.region, one.zone, one.instance_type, str(one.usd_per_hour or 0), trust, one.spot,
            one.accelerator, one.count)  # fmt: skip


@pytest.mark.parametrize("name", ["A100-80GB-SXM", "A800", "H100-NVLINK", "RTXA4500", "a-name-of-next-year"])
def test_an_accelerator_that_no_known_cloud_sells_is_an_offer_that_nobody_has_and_the_others_are_planned(name):
    recipe = load(f"resources: {{accelerators: {{{name}:1, A100-80GB:1}}, ports: 8000}}\nrun: vllm serve m", {})
    usable, nobody = plan(recipe, [sized(3, "A100-80GB:1")], statuses=ALL_USABLE)
    assert usable.usable
    assert usable.offer.accelerator == "A100-80GB"
    assert nobody.reason == f"no cloud is known to sell {name}"


@settings(max_examples=200, deadline=None)
@given(st.lists(OFFERS, max_size=12), RECIPES, LIMITS, st.randoms())
def test_the_order_does_not_depend_on_the_order_of_the_table(offers, recipe, limits, random):
    shuffled = list(offers)
    random.shuffle(shuffled)
    assert plan(recipe, offers, Limits(**limits)) == plan(recipe, shuffled, Limits(**limits))
    assert plan(recipe, [*offers, *offers], Limits(**limits)) == plan(recipe, offers, Limits(**limits))


@settings(max_examples=200, deadline=None)
@given(st.lists(OFFERS, max_size=12), RECIPES, LIMITS)
def test_sound_prices_rise_then_doubtful_ones_then_none(offers, recipe, limits):
    if recipe.ordered:
        return
    found = [rung.offer for rung in plan(recipe, offers, Limits(**limits))]
    order = [(one.usd_per_hour is None, one.doubtful is not None and one.usd_per_hour is not None) for one in found]
    assert order == sorted(order)
    for trust in (False, True):
        prices = [o.usd_per_hour for o in found if o.usd_per_hour is not None and bool(o.doubtful) == trust]
        assert prices == sorted(prices)


@settings(max_examples=200, deadline=None)
@given(st.lists(OFFERS, max_size=12), OFFERS, RECIPES, LIMITS)
def test_one_more_offer_moves_no_two_others(offers, further, recipe, limits):
    before = [rung.offer for rung in plan(recipe, offers, Limits(**limits)) if rung.offer.zone]
    after = [rung.offer for rung in plan(recipe, [*offers, further], Limits(**limits)) if rung.offer.zone]
    kept = [one for one in after if one in before]
    assert kept == [one for one in before if one in kept]
