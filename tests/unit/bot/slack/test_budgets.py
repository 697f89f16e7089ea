import time
from datetime import timedelta

import pytest

from bot.slack.budgets import LIMITS, NOW, Budgets, MethodBudget

SLOW = {method: MethodBudget(per_minute=2, burst=limit.burst) for method, limit in LIMITS.items()}
"""The product's bursts. They are refilled so slowly that no test, however late, sees a call that came back."""


@pytest.fixture
def budgets(redis):
    return Budgets(redis, SLOW)


def test_a_burst_may_be_spent_at_once_and_then_one_waits(budgets):
    burst = SLOW["chat.update"].burst
    assert [budgets.take("chat.update") for _ in range(burst)] == [NOW] * burst
    wait = budgets.take("chat.update")
    assert timedelta(seconds=1) < wait <= timedelta(seconds=60 / SLOW["chat.update"].per_minute)


def test_whoever_is_turned_away_has_not_spent_anything(budgets):
    while budgets.take("chat.update") == NOW:
        pass
    waits = [budgets.take("chat.update") for _ in range(20)]
    assert max(waits) <= timedelta(seconds=60 / SLOW["chat.update"].per_minute)


def test_all_processes_share_one_budget(budgets, redis):
    burst = SLOW["chat.update"].burst
    other = Budgets(redis, SLOW)
    taken = sum(which.take("chat.update") == NOW for which in [budgets, other] * burst)
    assert taken == burst


def test_posts_count_for_each_channel_and_updates_for_all(budgets):
    while budgets.take("chat.postMessage", "C1") == NOW:
        pass
    assert budgets.take("chat.postMessage", "C2") == NOW
    while budgets.take("chat.update", "C1") == NOW:
        pass
    assert budgets.take("chat.update", "C2") > NOW


def test_some_calls_can_be_left_for_more_important_ones(budgets):
    while budgets.take("chat.update", leave=5) == NOW:
        pass
    assert [budgets.take("chat.update") for _ in range(5)] == [NOW] * 5
    assert budgets.take("chat.update") > NOW


def test_what_slack_says_about_waiting_holds_for_everybody(budgets, redis):
    budgets.hold("chat.update", timedelta(seconds=3))
    assert NOW < Budgets(redis, SLOW).take("chat.update") <= timedelta(seconds=3)
    assert budgets.take("chat.postMessage", "C1") == NOW
    time.sleep(3.05)
    assert budgets.take("chat.update") == NOW
    assert budgets.take("chat.update") > NOW


def test_a_shorter_hold_does_not_lift_a_longer_one(budgets):
    budgets.hold("chat.update", timedelta(seconds=30))
    budgets.hold("chat.update", timedelta(seconds=1))
    assert budgets.take("chat.update") > timedelta(seconds=20)


def test_an_older_version_beside_it_reads_none_of_its_values(budgets, redis):
    budgets.take("chat.update")
    budgets.hold("chat.postMessage", timedelta(seconds=1), "C1")
    assert redis.keys("mixtral:pace:*") == []  # its script adds to the number that it keeps there
