"""The time of the installation is that of its Redis, whatever the clock of a host shows."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.redis_clock import READ_EVERY, RedisClock

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)
HOST = NOON + timedelta(hours=30)


class Server:
    """Redis, as far as its time goes, with a monotonic clock beside it."""

    def __init__(self):
        self.at, self.elapsed, self.asked, self.is_away, self.takes = NOON, 1000.0, 0, False, 0.0
        self.late = 0.0

    def pass_(self, seconds):
        self.at += timedelta(seconds=seconds)
        self.elapsed += seconds

    def time(self):
        self.asked += 1
        self.pass_(self.takes / 2)
        if self.is_away:
            raise RedisConnectionError
        at = self.at - timedelta(seconds=self.late)
        answer = int(at.timestamp()), at.microsecond
        self.pass_(self.takes / 2)
        return answer


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def clock(server):
    return RedisClock(server, monotonic=lambda: server.elapsed, of_host=lambda: HOST, beside=lambda read: read())


def test_two_hosts_whose_clocks_differ_have_the_same_time(server, clock):
    other = RedisClock(
        server, monotonic=lambda: server.elapsed + 77_000, of_host=lambda: NOON, beside=lambda read: read()
    )
    for _ in range(50):
        server.pass_(3.3)
        assert clock() == other() == server.at


def test_it_is_read_at_intervals(server, clock):
    for _ in range(100):
        clock()
        server.pass_(READ_EVERY / 10)
    assert server.asked == 10


def test_a_slow_answer_is_of_the_middle_of_its_time(server, clock):
    server.takes = 4.0
    assert clock() == server.at


def test_while_redis_is_away_the_time_passes(server, clock):
    clock()
    server.is_away = True
    for _ in range(30):
        server.pass_(READ_EVERY)
        assert clock() == server.at
    assert server.asked == 31


def test_until_the_first_reading_the_host_s_clock_counts(server, clock):
    server.is_away = True
    assert clock() == HOST
    server.is_away = False
    server.pass_(READ_EVERY)
    assert clock() == server.at


def test_a_correction_of_the_clock_of_redis_reaches_all_within_an_interval(server, clock):
    clock()
    server.at -= timedelta(hours=2)
    server.pass_(READ_EVERY)
    assert clock() == server.at


def test_an_answer_that_is_late_on_its_way_does_not_set_the_time_back(server, clock):
    clock()
    for server.late in (0.4, 0.0, 0.3):
        server.pass_(READ_EVERY)
        assert clock() == server.at
    server.late = 0.6
    server.pass_(READ_EVERY)
    assert server.at - clock() == timedelta(seconds=0.6)


def test_nobody_waits_for_a_later_reading_and_one_thread_reads(server):
    begun = []
    clock = RedisClock(server, monotonic=lambda: server.elapsed, of_host=lambda: HOST, beside=begun.append)
    clock()
    server.pass_(READ_EVERY)
    assert [clock() for _ in range(5)] == [server.at] * 5
    assert (len(begun), server.asked) == (1, 1)
    server.pass_(READ_EVERY)  # it has not ended yet: Redis is frozen
    assert clock() == server.at
    assert len(begun) == 2


def test_a_host_that_can_start_no_thread_keeps_the_time(server):
    def no_thread(_read):
        raise RuntimeError("can't start new thread")

    clock = RedisClock(server, monotonic=lambda: server.elapsed, of_host=lambda: HOST, beside=no_thread)
    for _ in range(3):
        assert clock() == server.at
        server.pass_(READ_EVERY)


def test_the_first_calls_wait_for_one_reading(redis):
    clock, found = RedisClock(redis), []
    threads = [threading.Thread(target=lambda: found.append(clock())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert abs(found[0] - datetime.now(UTC)) < timedelta(minutes=1)
