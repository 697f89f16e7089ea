"""What spot has saved."""

from datetime import timedelta
from decimal import Decimal

from tests.fakes.attempts import START, attempt, offer
from workers.deployment.attempt import Phase
from workers.replicas.savings import saved

HOUR = timedelta(hours=1)


def test_a_spot_machine_saves_the_difference_from_its_start_to_its_end():
    taken = offer("r-a", 4, on_demand=12)
    running = attempt(1, taken, at=START, age=HOUR)
    gone = attempt(2, taken, Phase.PREEMPTED, at=START, age=HOUR / 2)
    assert saved([running], START + HOUR) == 16
    assert saved([gone], START + HOUR) == 4
    assert saved([running, gone], START + HOUR) == 20


def test_what_is_on_demand_or_of_an_unknown_price_or_not_there_saves_nothing():
    unpriced = offer("r-a", 4)
    none_of_these = [
        attempt(1, offer("r-a", 12, spot=False), age=HOUR),
        attempt(2, unpriced, age=HOUR),
        attempt(3, offer("r-a", 4, on_demand=12), Phase.PROVISIONING, age=HOUR),
    ]
    assert saved(none_of_these, START + HOUR) == 0


def test_a_clock_that_ran_ahead_takes_nothing_back():
    ahead = attempt(1, offer("r-a", 4, on_demand=12), at=START + HOUR)
    assert saved([ahead], START) == Decimal(0)
