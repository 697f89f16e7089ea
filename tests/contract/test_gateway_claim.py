"""One gateway an installation: who else drives one is seen through Valkey, whatever computer it is on."""

import threading

import pytest

from workers.gateway.claim import EXPIRY, KEY, Claim, identity
from workers.gateway.errors import GatewayError


class Clock:
    """Seconds, as tests tell them; waiting passes them."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Passing(threading.Event):
    """A stop that nobody asks for, on that clock; `also` happens with each wait."""

    def __init__(self, clock, also=lambda: None):
        super().__init__()
        self.clock, self.also = clock, also

    def wait(self, timeout=None):
        self.clock.now += timeout
        self.also()
        return self.is_set()


@pytest.fixture
def clock():
    return Clock()


def claim(redis, clock, me):
    return Claim(redis, me, clock=clock)


def test_a_second_gateway_is_refused_and_told_where_the_first_one_is(redis, clock):
    claim(redis, clock, "on ada, in /srv").take(Passing(clock))
    with pytest.raises(GatewayError, match=r"runs already, on ada, in /srv\. .* End the other first"):
        claim(redis, clock, "on bob, in /srv").take(Passing(clock))
    assert redis.get(KEY) == b"on ada, in /srv"


def test_a_restart_of_the_same_gateway_waits_for_nothing(redis, clock):
    claim(redis, clock, "on ada, in /srv").take(Passing(clock))
    claim(redis, clock, "on ada, in /srv").take(Passing(clock))
    assert clock.now == 0


def test_the_successor_of_one_that_died_has_it_once_its_claim_is_over(redis, clock):
    claim(redis, clock, "on ada, in /srv").take(Passing(clock))
    assert 0 < redis.pttl(KEY) <= EXPIRY.total_seconds() * 1000
    claim(redis, clock, "on bob, in /srv").take(Passing(clock, also=lambda: redis.delete(KEY)))
    assert redis.get(KEY) == b"on bob, in /srv"


def test_one_that_ends_in_order_leaves_it_at_once_and_never_takes_that_of_another(redis, clock):
    first, second = claim(redis, clock, "ada"), claim(redis, clock, "bob")
    with first.held(Passing(clock)):
        assert redis.get(KEY) == b"ada"
        redis.set(KEY, "bob")
    assert redis.get(KEY) == b"bob"
    redis.delete(KEY)
    with first.held(Passing(clock)):
        pass
    second.take(Passing(clock))
    assert clock.now == 0


def test_it_is_renewed_and_one_that_was_lost_to_another_is_told_of_once(redis, clock, caplog):
    ours = claim(redis, clock, "ada")
    ours.take(Passing(clock))
    redis.pexpire(KEY, 500)
    ours.keep()
    assert redis.pttl(KEY) > 5000
    redis.delete(KEY)
    ours.keep()
    assert redis.get(KEY) == b"ada", "one that was lost for a moment is taken again"
    redis.set(KEY, "bob")
    for _ in range(3):
        ours.keep()
    assert caplog.text.count("another gateway serves the same deployments: bob") == 1


def test_a_gateway_has_one_name_before_and_after_a_restart_and_two_folders_have_two(tmp_path):
    (tmp_path / "other").mkdir()
    assert identity(tmp_path) == identity(tmp_path)
    assert identity(tmp_path) != identity(tmp_path / "other")
    assert str(tmp_path) in identity(tmp_path)


def test_who_is_told_to_stop_meanwhile_goes(redis, clock):
    claim(redis, clock, "ada").take(Passing(clock))
    stop = Passing(clock)
    stop.also = stop.set
    claim(redis, clock, "bob").take(stop)
    assert redis.get(KEY) == b"ada"
