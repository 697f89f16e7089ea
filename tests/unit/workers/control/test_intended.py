"""The expected request: used for the intent that it foresees, once, and for no other."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tests.builders.machines import boot, request
from tests.builders.offers import offer
from workers.control.intended import EXPECTED_FOR, Intended

NOW = datetime(2026, 11, 30, tzinfo=UTC)
EXPECTED = request("d-1-3-aaaa", [offer("r-1")], attempt=3, expires_at=NOW)


def needed(**changes):
    return replace(EXPECTED, **{"token": "d-1-3-bbbb", "expires_at": NOW + timedelta(seconds=2), **changes})


@pytest.fixture
def intended():
    intended = Intended(timedelta(hours=24))
    intended.following = EXPECTED
    return intended


def test_the_expected_request_is_used_with_the_token_that_was_prepared(intended):
    assert intended.chosen(needed()) is EXPECTED


def test_it_is_used_once(intended):
    intended.chosen(needed())
    assert intended.chosen(needed()) == needed()


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": 4},
        {"replica": 2},
        {"offers": (offer("r-2"),)},
        {"offers": (offer("r-1"), offer("r-2"))},
        {"boot": boot(port=9000)},
        {"host": "another"},
        {"expires_at": NOW + EXPECTED_FOR + timedelta(seconds=1)},
        {"expires_at": NOW - timedelta(seconds=1)},
    ],
    ids=str,
)
def test_another_request_keeps_its_own_token_and_the_expected_one_is_forgotten(intended, changes):
    assert intended.chosen(needed(**changes)) == needed(**changes)
    assert intended.following is None


def test_a_request_that_would_shorten_a_short_lease_is_not_used():
    intended = Intended(timedelta(seconds=40))
    intended.following = EXPECTED
    later = needed(expires_at=NOW + timedelta(seconds=5))
    assert intended.chosen(later) == later
