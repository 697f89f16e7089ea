"""A new replica among 3,000 on a real sweeper: when it is told, and what is asked and open meanwhile."""

import time
from collections import Counter

import pytest

from tests.many_replicas import NEVER
from tests.probe_bench import House

pytestmark = [pytest.mark.clouds, pytest.mark.timeout(400)]

DEPLOYMENTS, REPLICAS = 1000, 3000
HANGING = 1000


@pytest.mark.parametrize(
    ("delay", "hanging", "within"), [(0.05, HANGING, 10), (2.0, 0, 15)], ids=["a thousand hang", "all take 2 s"]
)
def test_slow_replicas_do_not_delay_a_new_one(delay, hanging, within):
    """The limits are 2 and 5 s; on a machine that other processes share, several times as much must do."""
    with House(DEPLOYMENTS, delay) as house:
        house.replicas.slow_down(*range(hanging), delay=NEVER)
        time.sleep(15 if hanging else 0)
        assert sorted(house.told(n) for n in range(3))[1] < within


def test_each_ready_replica_is_asked_once_in_its_interval_and_no_connection_stays():
    with House(DEPLOYMENTS, 0.05) as house:
        before = len(house.replicas.requests())
        opened = []
        for _ in range(30):
            time.sleep(1)
            opened.append(house.replicas.seen()["open"])
        asked = Counter(number for number, path in house.replicas.requests()[before:] if path == "/health")
    assert len(asked) == REPLICAS
    assert set(asked.values()) <= {1, 2, 3, 4, 5}
    assert sum(asked.values()) <= REPLICAS * 3.5, "three intervals"
    assert sorted(opened)[15] < 200, "300 connections a second of 50 ms each"
