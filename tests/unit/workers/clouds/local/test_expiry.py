"""When a local machine has expired, by a virtual clock that jumps and a virtual time since boot that does not."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.clouds.local.expiry import Expiry

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LEASE = timedelta(hours=24)
HOUR = 3600.0


def test_a_machine_expires_at_its_expiry():
    expiry = Expiry(NOW + LEASE)
    assert not expiry.has_passed(None, NOW, 0.0)
    assert not expiry.has_passed(None, NOW + timedelta(hours=23), 23 * HOUR)
    assert expiry.has_passed(None, NOW + LEASE, 24 * HOUR)


def test_one_that_has_expired_already_has_passed():
    assert Expiry(NOW - timedelta(seconds=1)).has_passed(None, NOW, 7.0)


@pytest.mark.parametrize("jump", [timedelta(hours=30), timedelta(hours=-30)], ids=str)
def test_a_jump_of_the_host_s_clock_moves_no_expiry(jump):
    expiry = Expiry(NOW + LEASE)
    assert not expiry.has_passed(None, NOW, 0.0)
    assert not expiry.has_passed(None, NOW + jump, 1.0)
    assert not expiry.has_passed(None, NOW + jump + timedelta(hours=23), 23 * HOUR)
    assert expiry.has_passed(None, NOW + jump + timedelta(hours=24), 24 * HOUR)


def test_an_extension_counts_by_the_clock_that_it_was_made_by():
    expiry = Expiry(NOW + LEASE)
    assert not expiry.has_passed(None, NOW, 0.0)
    jumped = NOW + timedelta(hours=30)
    extended = jumped + LEASE
    assert not expiry.has_passed(extended, jumped, HOUR)
    assert expiry.at == extended
    assert not expiry.has_passed(extended, jumped, 24 * HOUR)
    assert expiry.has_passed(extended, jumped, 25 * HOUR)


def test_an_expiry_that_is_moved_into_the_past_has_passed():
    expiry = Expiry(NOW + LEASE)
    assert not expiry.has_passed(None, NOW, 0.0)
    assert expiry.has_passed(NOW - timedelta(seconds=1), NOW, 1.0)
