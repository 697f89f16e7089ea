"""The workers' connections to Redis: a frozen one counts as one that does not answer."""

import socket
import time

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue

from bot.cards.follower import FEED_WAIT
from tests.patience import PATIENCE
from workers.pool import TiedWorker
from workers.run import ANSWERS_WITHIN, connect


@pytest.fixture
def frozen_url():
    """The address of a frozen Redis: connections are accepted, and nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def test_a_call_to_a_frozen_redis_fails_within_its_timeout(frozen_url):
    began = time.monotonic()
    with pytest.raises(RedisTimeoutError):
        connect(frozen_url, answers_within=0.1).get("x")
    assert time.monotonic() - began < 2 * PATIENCE


def test_each_wait_for_a_change_ends_before_redis_counts_as_silent():
    assert FEED_WAIT.total_seconds() * 2 < ANSWERS_WITHIN


def test_rqs_worker_waits_for_a_job_longer_than_the_timeout(valkey_url):
    redis = connect(valkey_url)
    worker = TiedWorker([Queue("advance", connection=redis)], connection=redis, worker_ttl=30)
    assert redis.connection_pool.connection_kwargs["socket_timeout"] > worker.dequeue_timeout
