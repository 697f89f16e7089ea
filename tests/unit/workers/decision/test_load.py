"""The rate of requests, from a counter that may begin again."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.decision.load import Tally, kept, qps

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
STEP = timedelta(seconds=10)


def tallied(*counts):
    tallies: tuple[Tally, ...] = ()
    for n, count in enumerate(counts):
        tallies = kept(tallies, Tally(at=NOW + n * STEP, requests=count))
    return tallies


def test_the_rate_is_what_arrived_within_the_window():
    assert qps(tallied(*range(0, 2000, 100))) == 10.0
    assert len(tallied(*range(0, 2000, 100))) == 7
    assert qps(tallied(0, *([600] * 20))) == 0.0


def test_a_restarted_gateway_counts_from_zero_and_loses_nothing_that_was_seen():
    assert qps(tallied(1000, 1030, 20, 40)) == pytest.approx((30 + 20 + 20) / 60)


def test_the_first_request_of_a_gateway_s_life_is_no_crowd():
    assert qps(tallied(7)) == 0.0
    assert qps(tallied(0, 6)) == pytest.approx(0.1)
