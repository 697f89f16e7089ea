"""Trigger ids and response URLs: once, five times, and not for long."""

import pytest

from bot.sandbox import seed
from bot.sandbox.limits import SlackError
from bot.sandbox.triggers import ResponseUrls, Triggers


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def refusal(call, *args):
    with pytest.raises(SlackError) as raised:
        call(*args)
    return raised.value


def test_a_trigger_is_good_once_for_three_seconds():
    clock = Clock()
    triggers = Triggers(clock)
    first, second = triggers.issue(seed.ROBIN), triggers.issue(seed.ROBIN, "V1")
    clock.now += 2.9
    assert triggers.exchange(first).user == seed.ROBIN
    assert refusal(triggers.exchange, first).error == "exchanged_trigger_id"
    clock.now += 0.2
    assert refusal(triggers.exchange, second).error == "expired_trigger_id"
    assert refusal(triggers.exchange, "1.2.3").error == "invalid_trigger_id"
    clock.now += 60
    triggers.issue(seed.ROBIN)
    assert refusal(triggers.exchange, second).error == "invalid_trigger_id", "long forgotten"


def test_a_response_url_is_good_five_times_for_half_an_hour():
    clock = Clock()
    urls = ResponseUrls(clock)
    path, other = urls.issue(seed.ROBIN, seed.MIXTRAL), urls.issue(seed.ROBIN, seed.MIXTRAL)
    for _ in range(5):
        urls.use(path)
    used = refusal(urls.use, path)
    assert (used.error, used.status) == ("used_url", 404)
    clock.now += 30 * 60 + 1
    assert refusal(urls.use, other).error == "expired_url"
    assert refusal(urls.use, "nothing").error == "invalid_url"
