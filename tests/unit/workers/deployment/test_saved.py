"""What spot has saved."""

from datetime import timedelta
from decimal import Decimal

from tests.builders.attempts import attempt
from tests.builders.events import BEGIN
from tests.builders.offers import offer, spot_offer
from workers.deployment.attempt import Phase

HOUR = timedelta(hours=1)


def saved(attempts, now):
    return sum((one.saved(now) for one in attempts), Decimal(0))


def test_a_spot_machine_saves_the_difference_from_its_start_to_its_end():
    taken = spot_offer("r-a", 4, on_demand=12)
    running = attempt(1, taken, at=BEGIN, age=HOUR)
    gone = attempt(2, taken, Phase.PREEMPTED, at=BEGIN, age=HOUR / 2)
    assert saved([running], BEGIN + HOUR) == 16
    assert saved([gone], BEGIN + HOUR) == 4
    assert saved([running, gone], BEGIN + HOUR) == 20


def test_what_is_on_demand_or_of_an_unknown_price_or_not_there_saves_nothing():
    unpriced = spot_offer("r-a", 4)
    none_of_these = [
        attempt(1, offer("r-a", 12), age=HOUR),
        attempt(2, unpriced, age=HOUR),
        attempt(3, spot_offer("r-a", 4, on_demand=12), Phase.PROVISIONING, age=HOUR),
    ]
    assert saved(none_of_these, BEGIN + HOUR) == 0


def test_a_clock_that_ran_ahead_takes_nothing_back():
    ahead = attempt(1, spot_offer("r-a", 4, on_demand=12), at=BEGIN + HOUR)
    assert saved([ahead], BEGIN) == Decimal(0)
