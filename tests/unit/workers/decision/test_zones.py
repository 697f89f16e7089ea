"""Zones: which spot avoids, and where one more replica is put."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.loader import find, load
from tests.builders.attempts import attempt
from tests.builders.events import BEGIN
from tests.builders.offers import HERE, offer, spot_offer
from workers.decision.zones import SPREAD_WORTH, crashed_in, shunned, spread, zone_of
from workers.deployment.attempt import Phase
from workers.placement import catalog
from workers.placement.limits import Limits
from workers.placement.offer import CloudStatus
from workers.placement.planner import plan

A, B, C = spot_offer("r-a", 4), spot_offer("r-b", "4.5"), spot_offer("r-c", "8.1")


def preempted(*minutes, taken=A):
    return [
        attempt(n, taken, Phase.PREEMPTED, at=BEGIN + timedelta(minutes=at)) for n, at in enumerate(minutes, start=1)
    ]


@pytest.mark.parametrize(
    ("minutes", "asked_at", "is_shunned"),
    [
        ((0,), 1, False),
        ((0, 59), 60, True),
        ((0, 60), 61, True),
        ((0, 61), 62, False),
        ((0, 30), 89, True),
        ((0, 30), 90, False),
        ((0, 61, 100), 101, True),
        ((40, 0), 41, True),
    ],
)
def test_two_preemptions_within_an_hour_shun_a_zone_for_an_hour(minutes, asked_at, is_shunned):
    found = shunned(preempted(*minutes), BEGIN + timedelta(minutes=asked_at))
    assert found == ({zone_of(A)} if is_shunned else frozenset())


def test_preemptions_of_two_zones_do_not_add_up():
    assert not shunned([*preempted(0), *preempted(1, taken=B)], BEGIN + timedelta(minutes=2))


def test_a_machine_that_ended_otherwise_is_no_preemption():
    ended = [attempt(n, A, phase) for n, phase in enumerate((Phase.FAILED, Phase.ENDED, Phase.SHUTTING_DOWN))]
    assert not shunned(ended, BEGIN)


def test_the_zone_of_a_crash_is_told_but_this_computer_is_no_zone():
    assert crashed_in([attempt(1, A, Phase.FAILED), attempt(2, HERE, Phase.FAILED)]) == {zone_of(A)}
    assert crashed_in([attempt(1, A, Phase.PROVISIONING)]) == {zone_of(A)}  # its cloud gave no answer


def test_each_further_replica_goes_to_the_emptiest_zone_that_is_worth_its_price():
    assert spread([A, B, C], []) == (A, B, C)
    assert spread([A, B, C], [attempt(1, A)]) == (B, C)
    assert spread([A, B, C], [attempt(1, A), attempt(2, B)]) == (A, B, C)  # C is more than twice as dear
    assert spread([A, B, C], [attempt(1, A), attempt(2, A), attempt(3, B)]) == (B, C)


def test_three_spot_replicas_of_mixtral_stand_in_three_zones_for_half_of_what_they_cost_on_demand():
    recipe = load(find("mixtral-8x7b", ()), {})
    clouds = {cloud: CloudStatus(cloud=cloud, usable=True) for cloud in ("aws", "gcp")}
    spot, on_demand = (plan(recipe, catalog.load(None), Limits(spot=s), statuses=clouds) for s in (True, False))
    held = []
    for number in (1, 2, 3):
        best = spread([rung.offer for rung in spot], held)[0]
        held.append(attempt(number, best))
    assert len({zone_of(a.offer) for a in held}) == 3
    assert sum(a.offer.usd_per_hour for a in held) < Decimal("0.55") * 3 * on_demand[0].offer.usd_per_hour


def test_a_zone_that_may_well_cost_as_much_as_on_demand_is_not_taken_for_its_emptiness():
    doubtful = spot_offer("r-d", "4.2", doubtful="equals")
    assert spread([A, doubtful], [attempt(1, A)]) == (A, doubtful)


def test_replicas_that_are_gone_or_on_demand_fill_no_zone():
    on_demand = offer("r-a", 12)
    held = [attempt(1, on_demand), attempt(2, A, Phase.PREEMPTED), attempt(3, A, Phase.DRAINING)]
    assert spread([A, B], held) == (A, B)


ZONES = st.sampled_from(["r-a", "r-b", "r-c", "s-a"])
OFFERS = st.lists(
    st.builds(spot_offer, ZONES, st.integers(1, 12)),
    min_size=1,
    max_size=8,
    unique_by=lambda o: (o.zone, o.usd_per_hour),
).map(lambda offers: sorted(offers, key=lambda o: o.usd_per_hour))


@given(OFFERS, st.lists(ZONES, max_size=8))
def test_no_call_names_a_fuller_zone_and_its_first_is_worth_its_price(offers, held):
    live = [attempt(n, spot_offer(zone, 3)) for n, zone in enumerate(held)]
    found = spread(offers, live)
    assert found[0].usd_per_hour <= offers[0].usd_per_hour * SPREAD_WORTH
    assert max(held.count(o.zone) for o in found) == held.count(found[0].zone)
    near = [o for o in offers if o.usd_per_hour <= offers[0].usd_per_hour * SPREAD_WORTH]
    assert held.count(found[0].zone) == min(held.count(o.zone) for o in near)
    assert set(found) <= set(offers)
