"""Limits of those who have no key, and of paths, kept by a real HAProxy on loopback."""

import contextlib
import http.client
import shutil
import socket
import ssl
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.fakes.haproxy import Gateway, Replica, route, server, wait_for
from tests.fakes.haproxy_certificates import self_signed
from tests.patience import PATIENCE
from workers.gateway import haproxy_output
from workers.gateway.certificate import combined
from workers.gateway.source_rules import MOST_OF_STRANGER, MOST_WRONG

UNFINISHED = b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\nX-Long: " + b"x" * 8000
ASKED = b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer k\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="gw-"))  # short: sockets live in it
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def replica():
    started = Replica("r1")
    yield started
    started.end()


@pytest.fixture
def gateway_of(folder, replica):
    started = []

    def start(**shape):
        started.append(Gateway(folder, bufsize=262_144, **shape).start())
        started[0].converge(route("d1", [server(replica)], keys=["k", "k2"]))
        return started[0]

    yield start
    for gateway in started:
        gateway.stop()


@contextmanager
def connections(gateway, number, sends=b"", source="127.0.0.2", spread=1):
    """Open connections that stay open on their own side. `spread`: number of sources."""
    with ExitStack() as stack:
        opened = []
        for n in range(number):
            a, b, c, d = (int(part) for part in source.split("."))
            one = stack.enter_context(socket.socket())
            one.settimeout(5)
            try:
                one.bind((f"{a}.{b}.{c}.{d + n % spread}", 0))
                one.connect(("127.0.0.1", gateway.port))
                one.sendall(sends)
            except OSError:  # it was refused
                continue
            opened.append(one)
        yield opened


def current(gateway):
    """The number of connections that HAProxy has."""
    info = gateway.haproxy._cli.ask("show info")
    return int(next(line for line in info.splitlines() if line.startswith("CurrConns:")).split()[1])


def closed(opened):
    """How many of these connections the other side has closed."""
    return sum(_ended(one) for one in opened)


def _ended(one):
    one.setblocking(False)
    try:
        while one.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def served(gateway, times=5):
    """Whether each of some requests on new connections gets its answer within 2 s."""
    for _ in range(times):
        began = time.monotonic()
        assert gateway.who() == "r1"
        assert time.monotonic() - began < 2 * PATIENCE
    return True


def test_ten_thousand_connections_that_asked_for_health_do_not_silence_a_key(gateway_of):
    gateway = gateway_of()
    with connections(gateway, 9990, HEALTH, spread=1, source="127.0.0.1") as opened:
        assert served(gateway)
        wait_for(lambda: closed(opened) == len(opened), "they are closed after their answers")


def test_unfinished_headers_of_one_source_are_few_and_end_soon(gateway_of):
    gateway = gateway_of()
    with connections(gateway, 2000, UNFINISHED) as opened:
        assert served(gateway)
        assert current(gateway) <= MOST_OF_STRANGER + 10
        wait_for(lambda: closed(opened) == len(opened), "they are closed", seconds=9)


def test_silent_connections_of_many_sources_leave_a_reserve_for_who_has_shown_a_key(gateway_of):
    gateway = gateway_of(maxconn=400)
    assert gateway.who() == "r1"
    with connections(gateway, 600, spread=20) as opened:
        assert served(gateway)
        assert current(gateway) <= 200 + 10
        wait_for(lambda: closed(opened) == len(opened), "they are closed", seconds=9)


@pytest.mark.parametrize("sources", [3, 4, 8])
def test_one_key_takes_a_quarter_of_all_connections_from_however_many_sources(gateway_of, sources):
    gateway = gateway_of(maxconn=400)
    with ExitStack() as stack:
        for n in range(sources):
            (first,) = stack.enter_context(connections(gateway, 1, ASKED, source=f"127.0.0.{n + 2}"))
            assert first.recv(100).startswith(b"HTTP/1.1 200")
        opened = stack.enter_context(connections(gateway, 480, ASKED, spread=sources))
        wait_for(lambda: len(opened) - closed(opened) <= 100 <= current(gateway), "a quarter is open")
        assert gateway.who("k2") == "r1"  # of a new source
        assert gateway.who("k2") == "r1"  # of one with a key
        assert current(gateway) <= 100 + 10


def test_a_source_that_showed_a_key_whose_share_is_used_up_is_served_with_another_key(gateway_of):
    """Else one who holds that share could refuse everybody behind a shared address, which shows the key once."""
    gateway = gateway_of(maxconn=400)
    with ExitStack() as stack:
        for source in ("127.0.0.2", "127.0.0.1"):  # the second one is that of `who`
            (first,) = stack.enter_context(connections(gateway, 1, ASKED, source=source))
            assert first.recv(100).startswith(b"HTTP/1.1 200")
        opened = stack.enter_context(connections(gateway, 150, ASKED, source="127.0.0.2"))
        wait_for(lambda: len(opened) - closed(opened) <= 100 <= current(gateway), "a quarter is open")
        assert gateway.who("k2") == "r1"
        assert gateway.who("k") == "r1"
        assert gateway.who("k2") == "r1"


def test_the_first_request_of_a_source_ends_its_connection(gateway_of):
    gateway = gateway_of(maxconn=400)
    with connections(gateway, 250, ASKED, spread=250) as opened:
        wait_for(lambda: closed(opened) == len(opened), "they are closed after their answers")
        with connections(gateway, 1, ASKED, source="127.0.1.2") as new:
            assert new[0].recv(100).startswith(b"HTTP/1.1 200")


def test_a_reload_keeps_the_sources_that_showed_a_key(gateway_of, replica):
    gateway = gateway_of(pool=1)
    assert gateway.who() == "r1"
    before, holders = gateway.haproxy._cli.processes().current, gateway.haproxy._cli.ask("show table holders")
    gateway.converge(route("d1", [server(replica)], keys=["k"]), route("d2", [server(replica)], keys=["k3"]))
    assert gateway.haproxy._cli.processes().current != before
    after = gateway.haproxy._cli.ask("show table holders")
    assert haproxy_output.holders(after) == haproxy_output.holders(holders)
    assert " key=::ffff:127.0.0.1 " in after
    with connections(gateway, MOST_OF_STRANGER + 50, source="127.0.0.1") as opened:
        wait_for(lambda: current(gateway) >= MOST_OF_STRANGER + 50, "all are accepted", seconds=4)
        assert closed(opened) == 0


def test_of_an_haproxy_of_an_earlier_version_each_source_gets_a_share_of_its_own():
    shown = "# table: holders\n0x1: key=::ffff:127.0.0.1 use=0 exp=86\n0x2: key=::ffff:127.0.0.2 use=1 exp=86\n"
    (first, one), (second, other) = haproxy_output.holders(shown)
    assert (first, second) == ("::ffff:127.0.0.1", "::ffff:127.0.0.2")
    assert 0 not in {one, other}
    assert one != other
    assert haproxy_output.holders("0x1: key=::ffff:127.0.0.1 use=0 exp=86 shard=0 gpt0=7\n") == [(first, 7)]


def test_wrong_keys_are_counted_slowed_and_end_their_connection_while_a_valid_one_is_served(gateway_of):
    gateway = gateway_of()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    statuses = []
    for n in range(MOST_WRONG + 40):
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer guess{n}"})
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        assert answer.will_close
    assert statuses == [401] * MOST_WRONG + [429] * 40
    assert served(gateway)
    assert gateway.ask("guess")[1]["retry-after"] == "60"


def test_a_connection_of_a_source_with_a_key_stays_open(gateway_of):
    gateway = gateway_of()
    assert gateway.who() == "r1"
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/v1/models", headers={"Authorization": "Bearer k"})
        answer = connection.getresponse()
        answer.read()
        assert not answer.will_close
    connection.close()


def test_a_body_may_take_longer_than_the_headers(gateway_of):
    gateway = gateway_of()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as one:
        one.sendall(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            time.sleep(0.8)
            one.sendall(b"x")
        assert one.recv(100).startswith(b"HTTP/1.1 200")


def test_http_2_which_could_not_be_closed_after_an_answer_is_refused(gateway_of):
    gateway = gateway_of()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as one:
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        answer = b"".join(iter(lambda: one.recv(4096), b""))
        assert not answer.startswith(b"\x00\x00")


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/models?x=/metrics", "/v2/rerank", "/tokenize", "/detokenize"]
)
def test_the_api_is_open_with_a_key_only(gateway_of, path):
    gateway = gateway_of()
    assert gateway.who(path=path) == "r1"
    assert gateway.ask(None, path=path)[0] == 401


def test_paths_of_the_engines_that_are_no_api_are_closed(gateway_of):
    gateway = gateway_of()
    for path in CLOSED_PATHS:
        status, _, body = gateway.ask(path=path, method="GET")
        assert (path, status, body["error"]["code"]) == (path, 404, "unknown_path")
    assert gateway.who() == "r1"


CLOSED_PATHS = [
    *("/slots", "/slots/0?action=erase", "/props", "/metrics", "/metrics/", "/load", "/version", "/ping"),
    *("/server_info", "/reset_prefix_cache", "/sleep?level=1", "/wake_up", "/is_sleeping", "/collective_rpc"),
    *("/start_profile", "/docs", "/openapi.json", "/lora-adapters", "/", "/v1", "//metrics", "/v1/../metrics"),
    *("/v1/%2e%2e/metrics", "/%73lots", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"),
    *("/v1/load%5Flora_adapter", "/v1/load_%6cora_adapter", "/tokenize/../metrics", "/tokenizer_info"),
    *("/TOKENIZE/x", "/update_weights", "/abort_requests", "/pause"),
]


@pytest.mark.parametrize(
    ("ciphers", "accepted"), [("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES128-SHA256", False)]
)
def test_only_ciphers_that_authenticate_are_accepted(gateway_of, tmp_path, ciphers, accepted):
    certificate, key = self_signed(tmp_path, "localhost")
    gateway = gateway_of(tls=combined(certificate, key))
    context = ssl.create_default_context(cafile=certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with socket.create_connection(("127.0.0.1", gateway.port)) as plain:
        expected = contextlib.nullcontext() if accepted else pytest.raises(ssl.SSLError)
        with expected, context.wrap_socket(plain, server_hostname="localhost"):
            pass
