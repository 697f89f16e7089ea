"""The gateway's promises, kept by a real HAProxy on loopback."""

import contextlib
import http.client
import json
import os
import signal
import socketserver
import threading
import time
from pathlib import Path

import pytest

from tests.fakes.haproxy import Gateway, GatewayDown, Replica, connects, load, route, server, wait_for
from tests.patience import PATIENCE
from workers.gateway.routes import drained
from workers.gateway.table import RoutingTable
from workers.sandbox.valkey import free_port


@pytest.fixture
def replicas():
    started = []

    def start(name, **kwargs):
        started.append(Replica(name, **kwargs))
        return started[-1]

    yield start
    for replica in started:
        replica.end()


def test_a_key_opens_its_own_deployment_and_no_other(gateway, replicas):
    a, b = replicas("r1"), replicas("r2")
    one = route("d1", [server(a)], keys=["ka", "ka2"], replica_key="own-a")
    two = route("d2", [server(b)], keys=["kb"], replica_key="own-b")
    gateway.converge(one, two)
    assert [gateway.who("ka"), gateway.who("ka2"), gateway.who("kb")] == ["r1", "r1", "r2"]
    _, _, body = gateway.ask("ka")
    assert body["headers"]["authorization"] == "Bearer own-a"


@pytest.mark.parametrize("key", [None, "wrong", "d1", "own-a"])
def test_without_a_right_key_the_answer_is_the_error_that_openai_clients_read(gateway, replicas, key):
    gateway.converge(route("d1", [server(replicas("r1"))], replica_key="own-a"))
    status, headers, body = gateway.ask(key)
    assert status == 401
    assert body["error"]["code"] == "invalid_api_key"
    assert headers["content-type"] == "application/json"


def test_what_a_client_pretends_in_our_headers_does_not_get_through(gateway, replicas):
    gateway.converge(route("d1", [server(replicas("r1"))]))
    _, _, body = gateway.ask(headers={"x-mixtral-deployment": "d2", "x-mixtral-asked": "0", "X-Mixtral-Else": "1"})
    assert body["headers"]["x-mixtral-deployment"] == "d1"
    assert abs(int(body["headers"]["x-mixtral-asked"]) / 1000 - time.time()) < 60
    assert "x-mixtral-else" not in body["headers"]


def test_health_needs_no_key(gateway):
    assert gateway.ask(None, path="/health", method="GET")[0] == 200


def test_a_replica_whose_server_knows_no_health_path_is_served(gateway, replicas):
    gateway.converge(route(servers=[server(replicas("healthless"))]))
    time.sleep(3)  # three checks
    assert gateway.who() == "healthless"


def test_a_server_that_was_added_gets_requests_at_once(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one)]))
    gateway.converge(route(servers=[server(one), server(two)]))
    assert {gateway.who() for _ in range(8)} == {"r1", "r2"}


def test_a_drained_server_gets_no_new_request_and_its_stream_is_not_cut(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one)]))
    with gateway.stream() as seen:
        wanted = route(servers=[server(one, "drain"), server(two)])
        actual = gateway.converge(wanted)
        assert {gateway.who() for _ in range(8)} == {"r2"}
        assert drained(RoutingTable(routes=(wanted,)), actual) == frozenset()
    assert seen[-1] == "whole"
    actual = wait_for_no_sessions(gateway, "r1")
    assert drained(RoutingTable(routes=(wanted,)), actual) == {("d1", "r1")}
    actual = gateway.converge(route(servers=[server(two)]))
    assert [s.name for s in actual.servers] == ["r2"]


def wait_for_no_sessions(gateway, name):
    def quiet():
        actual = gateway.haproxy.actual()
        return None if any(s.sessions for s in actual.servers if s.name == name) else actual

    return wait_for(quiet, f"{name} has no sessions")


def test_a_server_that_drained_can_be_had_back(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one), server(two)]))
    gateway.converge(route(servers=[server(one, "drain"), server(two)]))
    gateway.converge(route(servers=[server(one), server(two)]))
    assert {gateway.who() for _ in range(8)} == {"r1", "r2"}


def test_a_server_at_a_new_address_is_the_new_one(gateway, replicas):
    one, two = replicas("old"), replicas("new")
    gateway.converge(route(servers=[server(one, name="r1")]))
    gateway.converge(route(servers=[server(two, name="r1")]))
    assert {gateway.who() for _ in range(4)} == {"new"}


def test_keys_come_and_go_live(gateway, replicas):
    one = replicas("r1")
    gateway.converge(route(servers=[server(one)], keys=["k1", "k2"]))
    assert gateway.who("k2") == "r1"
    gateway.converge(route(servers=[server(one)], keys=["k1"]))
    assert gateway.ask("k2")[0] == 401
    gateway.converge(route(servers=[server(one)], keys=["k1", "k3"]))
    assert gateway.who("k1") == gateway.who("k3") == "r1"


def test_a_new_key_of_the_replicas_is_the_one_that_is_sent(gateway, replicas):
    one = replicas("r1")
    gateway.converge(route(servers=[server(one)], replica_key="before"))
    gateway.converge(route(servers=[server(one)], replica_key="after"))
    assert gateway.ask()[2]["headers"]["authorization"] == "Bearer after"


def test_a_deployment_that_ended_is_closed_and_its_backend_serves_another(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    before = gateway.converge(route("d1", [server(one)], keys=["ka"]))
    empty = gateway.converge()
    after = gateway.converge(route("d2", [server(two)], keys=["kb"]))
    assert empty.servers == ()
    assert before.routes["d1"] == after.routes["d2"]
    assert gateway.ask("ka")[0] == 401
    assert gateway.who("kb") == "r2"


def test_the_pool_grows_by_a_reload_that_cuts_no_stream_and_loses_no_request(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one)]))
    with load(gateway) as failed, gateway.stream() as seen:
        drains = route(servers=[server(one, "drain"), server(two)])
        more = [route(f"more{n}", keys=[f"m{n}"]) for n in range(6)]
        actual = gateway.converge(drains, *more)
        assert actual.size == 8
        assert drained(RoutingTable(routes=(drains,)), actual) == frozenset()  # the older process still streams from it
        time.sleep(0.5)
    assert seen[-1] == "whole"
    assert failed == []
    assert gateway.who() == "r2"


def test_a_key_that_was_revoked_is_closed_in_older_processes_too(gateway, replicas):
    one = replicas("r1")
    gateway.converge(route(servers=[server(one)], keys=["k", "k2"]))
    kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    headers = {"Authorization": "Bearer k2"}
    kept.request("GET", "/v1/models", headers=headers)
    assert kept.getresponse().read()
    with gateway.stream():
        more = [route(f"more{n}", keys=[f"m{n}"]) for n in range(6)]
        gateway.converge(route(servers=[server(one)], keys=["k", "k2"]), *more)
        gateway.converge(route(servers=[server(one)], keys=["k"]), *more)
        kept.request("GET", "/v1/models", headers=headers)
        assert kept.getresponse().status == 401
    kept.close()


def test_a_key_that_is_revoked_as_the_pool_grows_is_closed_in_the_process_that_is_replaced(gateway, replicas):
    one = server(replicas("r1"))
    gateway.converge(route(servers=[one], keys=["k", "k2"]))
    kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    headers = {"Authorization": "Bearer k2"}
    kept.request("GET", "/v1/models", headers=headers)
    assert kept.getresponse().read()
    with gateway.stream():
        gateway.converge(route(servers=[one]), *(route(f"more{n}", keys=[f"m{n}"]) for n in range(6)))
        kept.request("GET", "/v1/models", headers=headers)
        assert kept.getresponse().status == 401
    kept.close()


def test_what_an_older_process_waits_for_on_a_frozen_replica_is_ended(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one)]))
    one.signal(signal.SIGSTOP)
    thread, answers = in_a_thread(gateway.ask)
    wait_for(lambda: any(s.sessions for s in gateway.haproxy.actual().servers), "the request is on the frozen one")
    both = [route(servers=[server(one), server(two)]), *(route(f"more{n}", keys=[f"m{n}"]) for n in range(6))]
    began = time.monotonic()
    while thread.is_alive() and time.monotonic() - began < 25:  # the client gives up after 30
        gateway.converge(*both)
        time.sleep(0.2)
    assert not thread.is_alive()
    assert answers[0][0] in (502, 503)
    wait_for(
        lambda: not any(s.sessions for older in gateway.haproxy.actual().older for s in older.servers),
        "the older process has no session",
    )
    assert gateway.who() == "r2"
    thread.join()


def test_a_haproxy_that_is_stopping_is_not_taken_for_an_empty_one(gateway, replicas):
    wanted = [route(f"d{n}", [server(replicas(f"r{n}"))], keys=[f"k{n}"]) for n in range(3)]
    places = gateway.converge(*wanted).routes
    for _ in range(6):
        os.kill(gateway.master(), signal.SIGUSR1)
        with contextlib.suppress(GatewayDown):
            while True:  # until it has ended
                assert gateway.converge(*wanted).routes == places
        wait_for(lambda: gateway.children.restart_the_dead() or connects(gateway.port), "it is back", seconds=10)
        wait_for(gateway.haproxy.up, "it answers")
        assert gateway.converge(*wanted).routes == places
        assert gateway.haproxy.actual().size == 4


@pytest.mark.parametrize("whom", ["master", "worker"])
def test_after_a_kill_the_whole_table_is_there_before_the_first_request(gateway, replicas, whom):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route("d1", [server(one)], keys=["ka"]), route("d2", [server(two)], keys=["kb"]))
    worker = gateway.haproxy._cli.processes().current
    os.kill(gateway.master() if whom == "master" else worker, signal.SIGKILL)
    wait_for(lambda: not alive(worker), "the worker is gone")
    statuses = set()

    def back():
        gateway.children.restart_the_dead()
        try:
            statuses.add(gateway.ask("kb")[0])
        except OSError:
            return False
        return True

    wait_for(back, "HAProxy answers again")
    assert statuses == {200}
    assert (gateway.who("ka"), gateway.who("kb")) == ("r1", "r2")
    wait_for(gateway.haproxy.up, "its master answers, too")
    assert gateway.haproxy.actual().keys == {"ka": "d1", "kb": "d2"}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ends while it is looked at
        return False


def test_a_gateway_of_ours_that_starts_anew_adopts_a_haproxy_that_runs(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route("d1", [server(one)], keys=["ka"]), route("d2", [server(two)], keys=["kb"]))
    with load(gateway, "kb") as failed:
        gateway.haproxy.prepare(RoutingTable(routes=(route("d2", [server(two)], keys=["kb"]),)))
        time.sleep(0.3)
    assert failed == []
    assert gateway.ask("ka")[0] == 401


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_replica_that_dies_or_freezes_loses_no_request(gateway, replicas, number):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one), server(two)]))
    with load(gateway) as failed:
        one.signal(number)
        both = route(servers=[server(one), server(two)])
        cut = lambda: (dead := named(gateway.converge(both), "r1")) and dead.down_for and not dead.sessions  # noqa: E731
        wait_for(cut, "the replica is down, and its requests are cut", seconds=20)
        time.sleep(0.5)
    assert failed == []
    only = route(servers=[server(two)])  # the other one can be removed as soon as its last connection is closed
    wait_for(lambda: [s.name for s in gateway.converge(only).servers] == ["r2"], "the dead one is removed", seconds=3)


def named(actual, name):
    return next((s for s in actual.servers if s.name == name), None)


def r1(gateway):
    """The server r1 as HAProxy has it, or None."""
    return next((s for s in gateway.haproxy.actual().servers if s.name == "r1"), None)


def waited_until_down(gateway, *routes, flowing=(), seconds, since=None):
    """How long a server r1 was up while the gateway looked on; None if it was to the end.

    `since`: when its patience can have begun at the earliest, if that was before this call.
    """
    began = since or time.monotonic()
    while time.monotonic() - began < seconds * PATIENCE:
        gateway.converge(*routes, flowing=flowing)
        if not r1(gateway).up:
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def test_a_server_that_was_just_added_has_the_same_patience_as_an_old_one(gateway, replicas):
    one = replicas("r1")
    wanted = route(servers=[server(one, patience=2)])
    one.signal(signal.SIGSTOP)  # before its first check
    assert waited_until_down(gateway, wanted, seconds=15) >= 2
    one.signal(signal.SIGCONT)
    wait_for(lambda: r1(gateway).up, "it is up again")
    frozen_at = time.monotonic()
    one.signal(signal.SIGSTOP)
    assert waited_until_down(gateway, wanted, seconds=15, since=frozen_at) >= 2


@pytest.mark.parametrize("how", ["start", "reload"])
def test_every_server_has_its_patience_after_a_start_and_after_a_reload_of_haproxy(gateway, replicas, how):
    one = replicas("r1")
    wanted = [route(servers=[server(one)])]
    gateway.converge(*wanted)
    one.signal(signal.SIGSTOP)
    since, first = time.monotonic(), gateway.master()

    def is_back():
        nonlocal since
        if gateway.master() == first:
            since = time.monotonic()  # before a start that may follow
        gateway.children.restart_the_dead()
        return gateway.master() != first and gateway.haproxy.up()

    if how == "reload":
        wanted += [route(f"more{n}", keys=[f"m{n}"]) for n in range(6)]
    else:
        os.kill(first, signal.SIGKILL)
        wait_for(is_back, "HAProxy is back")
    assert waited_until_down(gateway, *wanted, seconds=15, since=since) >= 2.5


def test_an_engine_that_computes_for_less_than_its_recipe_allows_is_not_cut(gateway, replicas):
    one = replicas("r1")
    patient = route(servers=[server(one, patience=25)])
    gateway.converge(patient)
    one.signal(signal.SIGSTOP)  # as an engine that computes in its event loop
    thread, answers = in_a_thread(gateway.ask)
    assert waited_until_down(gateway, patient, seconds=5.5 / PATIENCE) is None
    one.signal(signal.SIGCONT)
    thread.join()
    assert answers[0][0] == 200


def test_a_server_whose_port_refuses_connections_is_down_at_once_however_patient_its_recipe(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    both = route(servers=[server(one, patience=60), server(two)])
    gateway.converge(both)
    one.end()
    assert waited_until_down(gateway, both, seconds=6) is not None


def test_a_stream_of_a_server_that_answers_its_checks_with_an_error_goes_on_and_it_gets_no_new_request(
    gateway, replicas
):
    sick, two = replicas("sick"), replicas("r2")
    gateway.converge(route(servers=[server(sick, name="r1")]))
    with gateway.stream() as seen:
        gateway.converge(route(servers=[server(sick, name="r1"), server(two)]))
        wait_for(lambda: r1(gateway).stopping, "its checks are seen to fail")
        assert {gateway.who() for _ in range(8)} == {"r2"}
    assert seen[-1] == "whole"


def test_a_server_that_does_not_answer_its_checks_is_up_while_its_answers_grow_and_then_no_longer(gateway, replicas):
    mute = replicas("mute")
    wanted = route(servers=[server(mute, name="r1")])
    gateway.converge(wanted)
    with gateway.stream() as seen:
        counted = r1(gateway).sent
        assert waited_until_down(gateway, wanted, flowing={mute.address}, seconds=6 / PATIENCE) is None
        assert r1(gateway).sent > counted, "HAProxy counts the bytes of an open stream"
    assert seen[-1] == "whole"
    assert waited_until_down(gateway, wanted, seconds=10) is not None


class Hold:
    """A stand-in for the server that holds requests: it answers 503 once it is let go, and keeps what it saw."""

    def __init__(self, path):
        self.seen = []
        self.go = threading.Event()
        hold = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.rfile.readline()
                headers = dict(
                    line.decode().strip().lower().split(": ", 1) for line in iter(self.rfile.readline, b"\r\n")
                )
                self.rfile.read(int(headers.get("content-length", 0)))
                hold.seen.append(headers)
                hold.go.wait(20)
                self.wfile.write(
                    b"HTTP/1.1 503 Wait\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self.server = Server(str(path), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def end(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hold(gateway):
    hold = Hold(gateway.folder / "hold.sock")
    yield hold
    hold.end()


def in_a_thread(function, *args, **kwargs):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function(*args, **kwargs)))
    thread.start()
    return thread, answers


def test_a_request_that_is_held_gets_its_answer_once_a_replica_is_there(gateway, replicas, hold):
    gateway.converge(route())
    thread, answers = in_a_thread(gateway.ask)
    wait_for(lambda: hold.seen, "the request is held")
    assert hold.seen[0]["x-mixtral-deployment"] == "d1"
    assert gateway.haproxy.actual().loads["d1"].held == 1
    gateway.converge(route(servers=[server(replicas("r1"))]))
    hold.go.set()
    thread.join()
    assert (answers[0][0], answers[0][2]["replica"]) == (200, "r1")
    wait_for(lambda: gateway.haproxy.actual().loads["d1"].held == 0, "nothing is held")


def test_a_request_that_is_held_too_long_is_told_when_to_come_back(gateway, hold):
    gateway.converge(route())
    hold.go.set()
    status, headers, _ = gateway.ask()
    assert (status, headers["retry-after"]) == (503, "7")
    assert len({seen["x-mixtral-asked"] for seen in hold.seen}) == 1  # every retry tells the same time


def test_where_nobody_holds_requests_the_answer_is_503_all_the_same(gateway):
    gateway.converge(route())
    status, headers, body = gateway.ask()
    assert (status, headers["retry-after"], body["error"]["code"]) == (503, "5", "no_replica")


def test_a_backend_with_a_held_request_is_given_to_nobody_else(gateway, hold):
    gateway.converge(route("d1", keys=["ka"]))
    thread, _ = in_a_thread(gateway.ask, "ka")
    wait_for(lambda: hold.seen, "the request is held")
    gateway.converge()
    actual = gateway.converge(route("d2", keys=["kb"]))
    assert actual.busy == {"b0": 1}
    assert actual.routes == {"d2": "b1"}
    hold.go.set()
    thread.join()


def test_a_session_stays_with_its_replica_until_that_drains(gateway, replicas):
    one, two = replicas("r1"), replicas("r2")
    gateway.converge(route(servers=[server(one), server(two)]))
    mine = {"x-session-id": "s1"}
    at = {gateway.who(headers=mine) for _ in range(8)}
    assert len(at) == 1
    drains = [server(r, "drain" if r.name in at else "ready") for r in (one, two)]
    gateway.converge(route(servers=drains))
    assert {gateway.who(headers=mine) for _ in range(8)} == {"r1", "r2"} - at


def test_a_body_above_the_buffer_streams_through(gateway, replicas):
    gateway.converge(route(servers=[server(replicas("r1"))]))
    status, _, body = gateway.ask(body=b"x" * 3_000_000)
    assert (status, body["size"]) == (200, 3_000_000)


def test_loads_count_requests(gateway, replicas):
    gateway.converge(route(servers=[server(replicas("r1"))]))
    before = gateway.haproxy.actual().loads["d1"]
    with gateway.stream():
        assert gateway.haproxy.actual().loads["d1"].sessions == 1
    assert gateway.haproxy.actual().loads["d1"].requests_total == before.requests_total + 1


def test_no_key_is_logged(gateway, replicas):
    gateway.converge(route(servers=[server(replicas("r1"))], keys=["mxk_secret"], replica_key="mxk_own"))
    gateway.who("mxk_secret")
    gateway.converge(route(servers=[server(replicas("r2"))], keys=["k"], replica_key="mxk_other"))
    assert "mxk_" not in (gateway.folder / "haproxy.log").read_text()


def test_metrics_have_an_address_of_their_own(folder):
    port = free_port()
    gateway = Gateway(folder, metrics=f"127.0.0.1:{port}").start()
    try:
        wait_for(lambda: connects(port), "the metrics listen")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        assert b"haproxy_process_" in connection.getresponse().read()
        connection.close()
    finally:
        gateway.stop()


def test_the_files_are_for_nobody_else_to_read(gateway):
    gateway.converge(route())
    modes = {
        path.name: path.stat().st_mode & 0o077 for path in gateway.folder.iterdir() if path.suffix in (".map", ".cfg")
    }
    assert set(modes.values()) == {0}


def test_tls_serves_the_certificate_that_was_given(folder, pair, replicas):
    import ssl  # noqa: PLC0415

    from workers.gateway.certificate import combined  # noqa: PLC0415

    certificate, key = pair("localhost")
    gateway = Gateway(folder, tls=combined(certificate, key)).start()
    try:
        gateway.converge(route(servers=[server(replicas("r1"))]))
        trust = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection("localhost", gateway.port, context=trust, timeout=10)
        connection.request("GET", "/v1/models", headers={"Authorization": "Bearer k"})
        assert json.loads(connection.getresponse().read())["replica"] == "r1"
        connection.close()
    finally:
        gateway.stop()
    assert (folder / "certificate.pem").stat().st_mode & 0o077 == 0


@pytest.fixture
def pair(tmp_path):
    from tests.fakes.haproxy_certificates import self_signed  # noqa: PLC0415

    return lambda name, **kwargs: self_signed(tmp_path, name, **kwargs)
