import threading
import time
from datetime import timedelta

import pytest

from bot.rate import BUDGETS, NOW, Rates


@pytest.fixture
def rates(redis):
    return Rates(redis)


def test_a_burst_may_be_spent_at_once_and_then_one_waits(rates):
    burst = BUDGETS["chat.update"].burst
    assert [rates.take("chat.update") for _ in range(burst)] == [NOW] * burst
    wait = rates.take("chat.update")
    assert timedelta(seconds=1) < wait <= timedelta(seconds=60 / BUDGETS["chat.update"].per_minute)


def test_whoever_is_turned_away_has_not_spent_anything(rates):
    while rates.take("chat.update") == NOW:
        pass
    waits = [rates.take("chat.update") for _ in range(20)]
    assert max(waits) <= timedelta(seconds=60 / BUDGETS["chat.update"].per_minute)


def test_all_processes_share_one_budget(rates, redis):
    burst = BUDGETS["chat.update"].burst
    other = Rates(redis)
    taken = sum(which.take("chat.update") == NOW for which in [rates, other] * burst)
    assert taken == burst


def test_posts_count_for_each_channel_and_updates_for_all(rates):
    while rates.take("chat.postMessage", "C1") == NOW:
        pass
    assert rates.take("chat.postMessage", "C2") == NOW
    while rates.take("chat.update", "C1") == NOW:
        pass
    assert rates.take("chat.update", "C2") > NOW


def test_some_calls_can_be_left_for_more_important_ones(rates):
    while rates.take("chat.update", leave=5) == NOW:
        pass
    assert [rates.take("chat.update") for _ in range(5)] == [NOW] * 5
    assert rates.take("chat.update") > NOW


def test_what_slack_says_about_waiting_holds_for_everybody(rates, redis):
    rates.hold("chat.update", timedelta(seconds=0.5))
    assert timedelta(seconds=0.3) < Rates(redis).take("chat.update") <= timedelta(seconds=0.5)
    assert rates.take("chat.postMessage", "C1") == NOW
    time.sleep(0.55)
    assert rates.take("chat.update") == NOW
    assert rates.take("chat.update") > NOW


def test_a_shorter_hold_does_not_lift_a_longer_one(rates):
    rates.hold("chat.update", timedelta(seconds=30))
    rates.hold("chat.update", timedelta(seconds=1))
    assert rates.take("chat.update") > timedelta(seconds=20)


def test_waiting_ends_with_a_call_or_in_time(rates):
    rates.hold("chat.update", timedelta(seconds=0.2))
    assert rates.wait("chat.update", at_most=timedelta(seconds=2))
    rates.hold("chat.update", timedelta(seconds=60))
    assert not rates.wait("chat.update", at_most=timedelta(seconds=0.1))
    stopped = threading.Event()
    stopped.set()
    assert not rates.wait("chat.update", at_most=timedelta(seconds=120), stop=stopped)
