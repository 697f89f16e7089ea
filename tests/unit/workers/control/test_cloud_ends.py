"""The ends of machines by their cloud's time: each is booked once, however often and wherever it is listed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders.machines import machine, request
from tests.builders.offers import HERE
from workers.control.cloud_ends import CloudEnds
from workers.machines import Listing, Presence, Sighting

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Books:
    """A ledger that counts what it is asked to book, and books it from `later` on."""

    def __init__(self):
        self.asked, self.later = Counter(), False

    def settle(self, _deployment, _attempt, machine, _ended):
        self.asked[machine] += 1
        return not self.later


def ended(number):
    made = machine(request(f"t-{number}", [HERE]))
    return Sighting(
        machine=made,
        presence=Presence.ENDED,
        installation="i-1",
        deployment="d-1",
        replica=1,
        attempt=number,
        ended_at=NOON,
    )


def books_and_ends():
    books: Any = Books()
    clock = [NOON]
    return books, clock, CloudEnds(books, lambda: clock[0])


def test_an_end_is_booked_once_although_lists_of_other_places_come_in_between():
    books, clock, ends = books_and_ends()
    here, there = (Listing(sightings=(ended(n),)) for n in (1, 2))
    for _ in range(100):
        clock[0] += timedelta(minutes=1)
        for listing in (here, there, Listing()):
            ends.settle(listing)
    assert set(books.asked.values()) == {1}


def test_an_end_that_is_not_booked_yet_is_tried_at_each_list():
    books, _, ends = books_and_ends()
    books.later = True
    for _ in range(3):
        ends.settle(Listing(sightings=(ended(1),)))
    assert set(books.asked.values()) == {3}


def test_machines_that_are_listed_no_more_are_forgotten():
    _, clock, ends = books_and_ends()
    ends.settle(Listing(sightings=tuple(ended(n) for n in range(1000))))
    assert len(ends._settled) == 1000
    clock[0] += timedelta(hours=2)
    ends.settle(Listing())
    assert not ends._settled
