import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from workers.gateway.routes import (
    AddServer,
    Cut,
    Drop,
    EndStreams,
    Layout,
    Put,
    Reload,
    RemoveServer,
    SetState,
    Trust,
    after,
    changes,
    drained,
    layout,
    maps,
    part,
)
from workers.gateway.table import Actual, ActualServer, Older, ReplicaServer, Route, RoutingTable


class Model:
    """What HAProxy does with our commands, with the refusals that it allows itself."""

    def __init__(self, size=2):
        self.size = size
        self.servers = {}
        self.maps = {"keys": {}, "routes": {}, "replica": {}, "ids": {}, "limits": {}}
        self.closing = False  # a connection still closes: servers cannot be deleted yet
        self.files = None
        self.ended = set()  # ids of the keys whose streams were ended

    def actual(self):
        return Actual(
            size=self.size,
            servers=tuple(self.servers.values()),
            keys=dict(self.maps["keys"]),
            routes=dict(self.maps["routes"]),
            replica_keys=dict(self.maps["replica"]),
            ids=dict(self.maps["ids"]),
            limits=dict(self.maps["limits"]),
        )

    def apply(self, change, goal):
        match change:
            case AddServer(backend=backend, name=name, address=address):
                assert (backend, name) not in self.servers
                self.servers[backend, name] = ActualServer(backend=backend, name=name, address=address)
            case SetState(backend=backend, name=name, state=state):
                self.servers[backend, name] = replace(self.servers[backend, name], admin=state)
            case RemoveServer(backend=backend, name=name):
                if self.closing:
                    self.servers[backend, name] = replace(self.servers[backend, name], admin="maint")
                else:
                    del self.servers[backend, name]
            case Put(map=name, entry=entry, value=value, new=new):
                assert (entry not in self.maps[name]) == new
                self.maps[name][entry] = value
            case EndStreams(keys=ids):
                assert not {self.maps["ids"][k] for k in self.maps["keys"] if k in self.maps["ids"]} & ids
                self.ended |= ids
            case Drop(map=name, entry=entry):
                if name == "ids":
                    assert self.maps[name][entry] in self.ended, "a key was forgotten before its streams ended"
                    self.ended.discard(self.maps[name][entry])
                del self.maps[name][entry]
            case Reload(size=size):
                self.size = size
                self.load(goal)

    def load(self, goal):
        self.servers = {
            (b, s.name): ActualServer(backend=b, name=s.name, address=s.address)
            for b, route in goal.places
            for s in route.servers
            if s.state == "ready"
        }
        self.maps = {name: dict(entries) for name, entries in maps(goal).items()}

    def reached(self, key):
        """Which addresses a key opens."""
        deployment = self.maps["keys"].get(key)
        backend = self.maps["routes"].get(deployment)
        return {s.address for s in self.servers.values() if s.backend == backend}


DEPLOYMENTS = ("d1", "d2", "d3", "d4")
LIMITED = "ab"
"""Keys that end so have an id; the others are the bot's."""


@st.composite
def tables(draw):
    """Tables whose addresses and keys tell whose they are: `d1:8`, `d1-k`."""
    routes = []
    for deployment in draw(st.sets(st.sampled_from(DEPLOYMENTS))):
        servers = {
            f"r{n}": ReplicaServer(
                name=f"r{n}",
                address=f"{deployment}:{draw(st.integers(1, 3))}",
                state=draw(st.sampled_from(["ready", "drain"])),
            )
            for n in draw(st.sets(st.integers(1, 3)))
        }
        keys = frozenset(f"{deployment}-{k}" for k in draw(st.sets(st.sampled_from("abc"))))
        own = draw(st.sampled_from(["x", "y"]))
        routes.append(
            Route(
                deployment=deployment,
                servers=tuple(servers.values()),
                keys=keys,
                replica_key=f"{deployment}-{own}",
                ids={key: f"id-{key}" for key in keys if key[-1] in LIMITED},
                limits={"at_once": most} if (most := draw(st.integers(0, 2))) else {},
            )
        )
    return RoutingTable(routes=tuple(routes))


def nobody_is_let_in_elsewhere(model):
    for deployment in DEPLOYMENTS:
        for k in "abc":
            assert {a.partition(":")[0] for a in model.reached(f"{deployment}-{k}")} <= {deployment}
    for key, deployment in model.maps["keys"].items():  # nor without its limits
        assert model.maps["ids"].get(key) == (f"{deployment}/id-{key}" if key[-1] in LIMITED else None)


def as_wanted(model, table):
    places = dict(model.maps["routes"])
    for route in table.routes:
        mine = {s.name: s for s in model.servers.values() if s.backend == places[route.deployment]}
        ready = {s.name for s in route.servers if s.state == "ready"}
        assert {name for name, s in mine.items() if s.admin == "ready"} == ready
        assert {k for k, d in model.maps["keys"].items() if d == route.deployment} == route.keys
        assert model.maps["replica"][route.deployment] == route.replica_key
        limits = {name: m for name, m in model.maps["limits"].items() if name.startswith(f"{route.deployment}/")}
        assert limits == {f"{route.deployment}/{name}": str(most) for name, most in route.limits.items()}
    assert set(places) == {route.deployment for route in table.routes}
    assert len(set(places.values())) == len(places)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(tables(), st.booleans(), st.integers(0, 40)), min_size=1, max_size=6))
def test_every_table_is_reached_and_no_key_ever_opens_another_deployment(steps):
    model = Model()
    for table, closing, until in steps:
        model.closing = closing  # and whoever applies the changes dies after some of them
        goal = layout(table, model.actual())
        for change in changes(goal, model.actual())[:until]:
            gone = model.servers.get((change.backend, change.name)) if isinstance(change, RemoveServer) else None
            if gone:
                wanted = {(b, s.name): s.address for b, r in goal.places for s in r.servers}
                assert wanted.get((gone.backend, gone.name)) != gone.address
            model.apply(change, goal)
            nobody_is_let_in_elsewhere(model)
    model.closing = False
    for _ in range(4):
        goal = layout(table, model.actual())
        for change in changes(goal, model.actual()):
            model.apply(change, goal)
            nobody_is_let_in_elsewhere(model)
    as_wanted(model, table)
    assert changes(layout(table, model.actual()), model.actual()) == ()


@settings(max_examples=200, deadline=None)
@given(tables(), tables())
def test_what_haproxy_has_after_changes_is_known_without_asking(first, second):
    model = Model()
    for table in (first, second):
        for _ in range(4):
            before = model.actual()
            goal = layout(table, before)
            steps = changes(goal, before)
            if goal.size != before.size:
                for change in steps:
                    model.apply(change, goal)
                continue
            for change in steps:
                model.apply(change, goal)
            known, has = after(before, steps), model.actual()
            maps_of = lambda actual: (actual.keys, actual.routes, actual.replica_keys, actual.ids, actual.limits)  # noqa: E731
            assert maps_of(known) == maps_of(has)
            servers = {(s.backend, s.name): (s.address, s.admin) for s in known.servers if s.admin != "maint"}
            assert servers == {(s.backend, s.name): (s.address, s.admin) for s in has.servers if s.admin != "maint"}


@settings(max_examples=200, deadline=None)
@given(tables(), tables())
def test_the_changes_of_the_deployments_that_changed_are_all_changes(first, second):
    model = Model(size=16)
    for _ in range(4):
        goal = layout(first, model.actual())
        for change in changes(goal, model.actual()):
            model.apply(change, goal)
    old, new = ({route.deployment: route for route in table.routes} for table in (first, second))
    moved = {deployment for deployment in old | new if old.get(deployment) != new.get(deployment)}
    goal, actual = layout(second, model.actual()), model.actual()
    assert set(map(str, changes(*part(goal, actual, moved)))) == set(map(str, changes(goal, actual)))


def route(deployment="d", *servers, keys=("k",)):
    return Route(deployment=deployment, servers=servers, keys=frozenset(keys), replica_key="own")


def test_a_deployment_keeps_its_backend():
    actual = Actual(size=4, routes={"b": "b3"})
    assert dict(layout(RoutingTable(routes=(route("a"), route("b"))), actual).places).keys() == {"b0", "b3"}


def test_a_backend_that_was_freed_waits_for_its_servers_and_its_requests():
    left = ActualServer(backend="b0", name="r1", address="1.1.1.1:1")
    actual = Actual(size=4, servers=(left,), busy={"b1": 1}, routes={"gone": "b2"})
    assert [b for b, _ in layout(RoutingTable(routes=(route("new"),)), actual).places] == ["b3"]


def test_a_full_pool_doubles():
    goal = layout(RoutingTable(routes=tuple(route(f"d{n}") for n in range(9))), Actual(size=2))
    assert goal.size == 16
    assert changes(goal, Actual(size=2)) == (Reload(size=16),)


def test_what_has_requests_in_an_older_process_has_not_drained():
    wanted = RoutingTable(routes=(route("d", ReplicaServer(name="r1", address="1.1.1.1:1", state="drain")),))
    old = ActualServer(backend="b7", name="r1", address="1.1.1.1:1", sessions=1)
    actual = Actual(size=2, routes={"d": "b0"}, older=(Older(pid=99, servers=(old,)),))
    assert drained(wanted, actual) == frozenset()
    assert drained(wanted, replace(actual, older=(Older(pid=99, answers=False),))) == frozenset()
    idle = replace(actual, older=(Older(pid=99, servers=(replace(old, sessions=0),)),))
    assert drained(wanted, idle) == {("d", "r1")}


SERVED: dict[str, Any] = {"routes": {"d": "b0"}, "keys": {"k": "d"}, "replica_keys": {"d": "own"}}


def test_what_an_older_process_has_on_a_dead_server_is_cut_and_on_one_that_drains_it_is_not():
    ready, drains = (
        ReplicaServer(name="r1", address="1.1.1.1:1"),
        ReplicaServer(name="r2", address="1.1.1.1:2", state="drain"),
    )
    wanted = RoutingTable(routes=(route("d", ready, drains),))
    here = (
        ActualServer(backend="b0", name="r1", address="1.1.1.1:1", up=False),
        ActualServer(backend="b0", name="r2", address="1.1.1.1:2", admin="drain"),
    )
    there = tuple(ActualServer(backend="b7", name=f"r{n}", address=f"1.1.1.1:{n}", sessions=1) for n in (1, 2, 3))
    actual = Actual(size=2, servers=here, older=(Older(pid=99, servers=there),), **SERVED)
    cuts = changes(layout(wanted, actual), actual)
    assert cuts == tuple(Cut(process=99, backend="b7", name=name) for name in ("r1", "r3"))


def test_a_key_that_an_older_process_still_has_is_dropped_there():
    actual = Actual(size=2, older=(Older(pid=99, keys=frozenset({"k", "revoked"})),), **SERVED)
    dropped = changes(layout(RoutingTable(routes=(route("d"),)), actual), actual)
    assert dropped == (Drop(map="keys", entry="revoked", process=99),)


def test_a_key_is_revoked_before_the_process_that_has_it_is_replaced():
    actual = Actual(size=1, routes={"d": "b0"}, keys={"k": "d", "revoked": "d"}, replica_keys={"d": "own"})
    goal = layout(RoutingTable(routes=(route("d"), route("e", keys=["l"]))), actual)
    assert changes(goal, actual) == (Drop(map="keys", entry="revoked"), Reload(size=2))


def test_a_deployment_is_serving_as_long_as_a_server_of_it_is_up_and_takes_requests():
    up = ActualServer(backend="b0", name="r1", address="1.1.1.1:1")
    assert Actual(size=2, servers=(up,), **SERVED).serving == {"d"}
    for change in ({"up": False}, {"admin": "drain"}, {"backend": "b1"}):
        assert not Actual(size=2, servers=(replace(up, **change),), **SERVED).serving


def test_what_has_not_begun_to_drain_has_not_drained():
    wanted = RoutingTable(routes=(route("d", ReplicaServer(name="r1", address="1.1.1.1:1", state="drain")),))
    running = ActualServer(backend="b0", name="r1", address="1.1.1.1:1")
    assert drained(wanted, Actual(size=2, routes={"d": "b0"}, servers=(running,))) == frozenset()


def test_nothing_that_is_printed_holds_a_key():
    table = RoutingTable(routes=(route(keys=["mxk_1"]),))
    actual = Actual(size=1, keys={"mxk_2": "d"})
    goal = layout(table, actual)
    printed = repr((table, actual, goal, changes(goal, actual)))
    assert not re.search(r"mxk_|own", printed)


def test_a_new_server_is_trusted_as_an_old_one_and_one_that_is_silent_only_while_its_answers_grow():
    def trusted(doubt, flowing=()):
        there = ActualServer(backend="b0", name="r1", address="h:1", doubt=doubt)
        actual = Actual(size=1, servers=(there,), routes={"d": "b0"}, keys={"k": "d"}, replica_keys={"d": "rk"})
        wanted = Route(
            deployment="d", servers=(ReplicaServer(name="r1", address="h:1"),), keys=frozenset({"k"}), replica_key="rk"
        )
        return changes(Layout(size=1, places=(("b0", wanted),)), actual, flowing)

    trust = (Trust(backend="b0", name="r1"),)
    assert trusted("new") == trust
    assert trusted("silent") == trusted("silent", flowing={"h:2"}) == trusted(None, flowing={"h:1"}) == ()
    assert trusted("silent", flowing={"h:1"}) == trust


def test_what_an_older_process_streams_from_a_replica_whose_health_is_a_server_error_goes_on():
    def cut(**health):
        there = ActualServer(backend="b0", name="r1", address="h:1", **health)
        older = Older(pid=7, servers=(replace(there, sessions=1),))
        actual = Actual(size=1, servers=(there,), routes={"d": "b0"}, replica_keys={"d": "rk"}, older=(older,))
        wanted = Route(deployment="d", servers=(ReplicaServer(name="r1", address="h:1"),), replica_key="rk")
        return changes(Layout(size=1, places=(("b0", wanted),)), actual)

    assert cut(up=False, stopping=True) == ()
    assert cut(up=False) == (Cut(process=7, backend="b0", name="r1"),)


def test_requests_to_a_dead_server_are_cut_when_none_of_them_can_be_connecting():
    def steps(**server):
        dead = ActualServer(backend="b0", name="r1", address="1.1.1.1:1", up=False, **server)
        actual = Actual(size=1, servers=(dead,), **SERVED)
        wanted = RoutingTable(routes=(route("d", ReplicaServer(name="r1", address="1.1.1.1:1")),))
        return changes(layout(wanted, actual), actual)

    assert steps(down_for=3, sessions=1) == (Cut(backend="b0", name="r1"),)
    assert steps(down_for=2, sessions=1) == ()
    assert steps(down_for=3) == ()
