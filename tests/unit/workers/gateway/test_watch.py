"""What the gateway writes for the worker: the load of each deployment, and what it sees of each replica."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from workers.deployment.loads import ReplicaLoad
from workers.gateway.flow import Flow
from workers.gateway.table import Actual, ActualServer, BackendLoad, Older, ReplicaServer, Route, RoutingTable
from workers.gateway.watch import Watch

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
LOAD = BackendLoad(requests_total=9, sessions=3, queued=0, held=0)


class Written:
    """The loads that were written last, and how often."""

    def __init__(self):
        self.loads, self.times = {}, 0

    def write(self, loads):
        self.loads, self.times = loads, self.times + 1

    def keep_only(self, known):
        pass


def test_what_is_seen_of_each_replica_is_written_with_the_requests_of_a_replaced_process():
    def look(sent):
        busy = ActualServer(backend="b0", name="r3", address="h:1", sessions=2, sent=sent)
        down = ActualServer(backend="b0", name="r5", address="h:2", up=False)
        older = Older(pid=7, servers=(ActualServer(backend="b0", name="r3", address="h:1", sessions=1),))
        return Actual(size=1, servers=(busy, down), routes={"d": "b0"}, loads={"d": LOAD}, older=(older,))

    servers = tuple(ReplicaServer(name=name, address=at) for name, at in (("r3", "h:1"), ("r5", "h:2"), ("r6", "h:3")))
    table = RoutingTable(routes=(Route(deployment="d", servers=servers, replica_key="k"),))
    holding: Any = SimpleNamespace(arrivals=lambda _: SimpleNamespace(held=0, last=None), keep_only=lambda known: None)
    written: Any = Written()
    watch = Watch(written)
    flow = Flow().seen(look(10), 1.0).seen(look(20), 2.0)
    watch.look(table, look(20), flow, holding, NOON)
    replicas = written.loads["d"].replicas
    assert replicas.keys() == {3, 5}, "the third one has no server yet"
    assert (replicas[3].up, replicas[3].requests) == (True, 3)
    assert replicas[3].idle is not None
    assert replicas[5] == ReplicaLoad(up=False, requests=0, idle=None)
    watch.look(table, look(20), flow, holding, NOON)
    assert written.times == 1, "not several times a second"


def test_the_arrivals_of_deployments_that_have_ended_are_forgotten():
    table = RoutingTable(routes=(Route(deployment="d", servers=(), replica_key="k"),))
    kept = []
    holding: Any = SimpleNamespace(keep_only=kept.extend)
    Watch(Written()).look(table, Actual(size=1, servers=(), routes={}), Flow(), holding, NOON)  # type: ignore[arg-type]
    assert kept == ["d"]


def test_a_request_by_a_clock_that_was_ahead_hides_no_later_one(monkeypatch):
    table = RoutingTable(routes=(Route(deployment="d", servers=(), replica_key="k"),))
    held, written, tick = SimpleNamespace(held=0, last=None), Written(), SimpleNamespace(at=1000.0)
    holding: Any = SimpleNamespace(arrivals=lambda _: held, keep_only=lambda known: None)
    watch = Watch(written)  # type: ignore[arg-type]
    monkeypatch.setattr("workers.gateway.watch.WRITE_EVERY", 0)
    monkeypatch.setattr("workers.gateway.watch.time", SimpleNamespace(monotonic=lambda: tick.at))

    def look(requests, now):
        loads = {"d": replace(LOAD, requests_total=requests)}
        tick.at += 60
        watch.look(table, Actual(size=1, servers=(), routes={"d": "b0"}, loads=loads), Flow(), holding, now)
        return written.loads["d"].last_request_at

    minute = timedelta(minutes=1)
    assert look(9, NOON) is None
    assert look(10, NOON + timedelta(hours=30)) == NOON + timedelta(hours=30)
    assert look(10, NOON + minute) is None
    held.last = tick.at + 57
    waits = NOON + 2 * minute - timedelta(seconds=3)
    assert look(10, NOON + 2 * minute) == waits, "it came 3 s ago, and waits for a replica"
    assert look(10, NOON + 3 * minute + timedelta(seconds=1)) == waits, "also if the two clocks differ by a second"
    assert look(11, NOON + 4 * minute) == NOON + 4 * minute
