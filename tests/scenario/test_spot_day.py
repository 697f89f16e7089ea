"""A day of spot on GCE's stand-in, in fast-forward: what it costs, how long it answers, and that nothing is left."""

from datetime import timedelta

import pytest

from tests.spot_day import day
from tests.spot_outcome import ON_DEMAND, ONE_ZONE, OURS, WANTED, ZONES, under
from tests.spot_weather import DAY, weather

SEED = 2
"""Each zone has bad hours on it, and once the whole region has."""

AT_ONCE = WANTED + 2
"""A replica too many while spot relieves one that stands in, and one that drains."""

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def days(valkey_url):
    from redis import Redis  # noqa: PLC0415 - a client of this module's own: the fixture `redis` is a test's

    with Redis.from_url(valkey_url) as redis:
        return {policy.name: day(redis, policy, SEED) for policy in (OURS, ON_DEMAND, ONE_ZONE)}


def test_the_weather_of_the_day_is_bad_in_every_zone_and_the_same_for_all():
    known = weather(SEED, ZONES)
    assert known == weather(SEED, ZONES)
    for zone in ZONES:
        assert known.bad(zone) > timedelta(minutes=30)


def test_spot_in_three_zones_answers_nearly_always_and_more_than_in_one(days):
    ours, one_zone = days[OURS.name], days[ONE_ZONE.name]
    assert ours.preempted > 0
    assert one_zone.preempted > 0
    assert ours.availability >= 0.99
    assert ours.availability > one_zone.availability
    assert ours.mean_ready > one_zone.mean_ready


def test_spot_in_three_zones_costs_far_less_than_on_demand(days):
    ours, on_demand = days[OURS.name], days[ON_DEMAND.name]
    assert on_demand.preempted == 0
    assert on_demand.mean_ready > 0.999
    assert under(ours, on_demand) >= 40


def test_no_day_leaves_or_doubles_a_machine_or_buys_more_than_it_may(days):
    for outcome in days.values():
        assert outcome.unknown == ()
        assert outcome.twice == ()
        assert outcome.left == ()
        assert outcome.errors == 0
        assert outcome.most_at_once <= AT_ONCE


def test_the_log_tells_what_the_cloud_bills(days):
    for outcome in days.values():
        assert abs(outcome.usd_logged / outcome.usd_billed - 1) < 0.01


def test_a_day_of_shortage_fills_neither_the_log_nor_the_clouds_queue(days):
    hours = DAY / timedelta(hours=1)
    for outcome in days.values():
        assert outcome.launch_calls <= 10 * hours
        assert outcome.events <= 40 * hours
