"""Slack's tiers as token buckets."""

import pytest

from bot.sandbox.limits import SlackError
from bot.sandbox.rates import TIERS, Rates, rate_of


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def spent(rates, method, channel="", tries=1000):
    """How many calls pass at once."""
    for n in range(tries):
        try:
            rates.spend(method, channel)
        except SlackError:
            return n
    return tries


def test_a_burst_passes_and_then_one_at_a_time(clock):
    rates = Rates(1.0, clock)
    assert spent(rates, "chat.update") == TIERS[3].burst
    clock.now += 60 / TIERS[3].per_minute
    assert spent(rates, "chat.update") == 1


def test_over_ten_minutes_no_more_pass_than_the_tier_and_its_burst(clock):
    rates, passed = Rates(1.0, clock), 0
    for _ in range(600):
        clock.now += 1
        passed += spent(rates, "chat.startStream")
    assert passed == pytest.approx(TIERS[2].burst + 10 * TIERS[2].per_minute, abs=TIERS[2].burst)


def test_each_channel_has_its_own_second(clock):
    rates = Rates(1.0, clock)
    assert spent(rates, "chat.postMessage", "C1") == 10
    assert spent(rates, "chat.postMessage", "C2") == 10
    clock.now += 1
    assert spent(rates, "chat.postMessage", "C1") == 1


def test_updates_share_one_bucket_whatever_their_channel(clock):
    rates = Rates(1.0, clock)
    spent(rates, "chat.update", "C1")
    assert spent(rates, "chat.update", "C2") == 0


def test_the_refusal_is_429_and_names_whole_seconds(clock):
    rates = Rates(1.0, clock)
    spent(rates, "chat.startStream")
    with pytest.raises(SlackError) as raised:
        rates.spend("chat.startStream")
    assert (raised.value.status, raised.value.error) == (429, "ratelimited")
    assert raised.value.headers == {"Retry-After": "3"}


def test_the_scale_widens_the_buckets_and_nought_takes_them_away(clock):
    assert spent(Rates(2.0, clock), "chat.update") == 2 * TIERS[3].burst
    assert spent(Rates(0, clock), "chat.update") == 1000


def test_the_tiers_are_those_of_slacks_reference():
    assert [rate_of(m).per_minute for m in ("chat.stopStream", "chat.update", "chat.appendStream")] == [20, 50, 100]
    assert rate_of("auth.test").per_minute == 600
