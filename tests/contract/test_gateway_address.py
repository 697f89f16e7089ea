"""Two gateways on one address: the second one finds out what listens there, and does not share it."""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from tests.fakes.haproxy import Gateway, wait_for
from tests.patience import PATIENCE
from workers.gateway import address, run
from workers.gateway.address import is_taken, wait_until_free
from workers.gateway.errors import GatewayError
from workers.gateway.haproxy import Haproxy
from workers.gateway.table import RoutingTable
from workers.processes import Child, Children
from workers.sandbox.valkey import free_port
from workers.settings import from_environ


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="gw-"))  # short: sockets live in it
    yield path
    shutil.rmtree(path, ignore_errors=True)


def settings(folder, port, host="127.0.0.1"):
    environ = {"MIXTRAL_HOME": str(folder / "home"), "MIXTRAL_GATEWAY_BIND": f"{host}:{port}"}
    return from_environ(environ, needs_redis=False).gateway


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(address, "FREE_WITHIN", address.FREE_WITHIN * 0)


@pytest.mark.parametrize("installation", ["i-first", "100% ada's\nown", ""])
def test_health_names_the_installation(folder, installation):
    gateway = Gateway(folder, installation=installation).start()
    try:
        answer = httpx.get(f"http://127.0.0.1:{gateway.port}/health")
        assert (answer.status_code, answer.text) == (200, "ok")
        assert answer.headers.get("x-mixtral-installation", "") == installation.replace("'", "?").replace("\n", "?")
    finally:
        gateway.stop()


@pytest.mark.usefixtures("impatient")
def test_the_second_gateway_is_told_whose_the_first_one_is(folder):
    gateway = Gateway(folder, installation="i-first").start()
    try:
        for host in ("127.0.0.1", "0.0.0.0", "*"):
            with pytest.raises(GatewayError, match="of the installation i-first, and this is i-b"):
                wait_until_free(settings(folder, gateway.port, host), "i-b", threading.Event())
        with pytest.raises(GatewayError, match="another gateway of this installation, i-first"):
            wait_until_free(settings(folder, gateway.port), "i-first", threading.Event())
    finally:
        gateway.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "", "*"])
def test_two_haproxies_that_start_at_once_do_not_share_an_address(folder, host, monkeypatch):
    """Both have found the address free: the second one to bind it ends, instead of taking a part of the requests."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    first, second = Gateway(folder / "a", installation="i-first"), Gateway(folder / "b", installation="i-b")
    second.port, second.shape = first.port, replace(second.shape, bind=f"{host}:{first.port}")
    second.haproxy = Haproxy(second.shape, second.folder)
    first.start()
    try:
        second.haproxy.prepare(RoutingTable())
        second.children.start(second.haproxy.child(second.folder / "haproxy.log"))
        wait_for(lambda: "cannot bind" in (second.folder / "haproxy.log").read_text(), "the second one has said why")
        url = f"http://127.0.0.1:{first.port}/health"
        assert {httpx.get(url).headers["x-mixtral-installation"] for _ in range(40)} == {"i-first"}
        assert not second.haproxy.up()
        monkeypatch.setattr(run, "UP_WITHIN", run.UP_WITHIN * 0)
        with pytest.raises(GatewayError, match="in use by the gateway of the installation i-first, and this is i-b"):
            run._wait_until_up(second.haproxy, settings(folder, first.port), threading.Event(), "i-b", second.children)
    finally:
        second.stop()
        first.stop()


def test_an_address_that_becomes_free_while_haproxy_starts_is_taken(folder):
    gateway = Gateway(folder)
    gateway.haproxy.prepare(RoutingTable())
    with socket.socket() as other:
        other.bind(("127.0.0.1", gateway.port))
        other.listen()
        gateway.children.start(gateway.haproxy.child(folder / "haproxy.log"))
        wait_for(lambda: "cannot bind" in (folder / "haproxy.log").read_text(), "it has said why it ends")
        wait_for(lambda: gateway.children.has_ended("haproxy"), "it has ended")
    try:
        run._wait_until_up(gateway.haproxy, settings(folder, gateway.port), threading.Event(), "i", gateway.children)
        assert gateway.haproxy.up()
    finally:
        gateway.stop()


def test_a_haproxy_that_runs_on_a_busy_host_may_take_its_time(folder, monkeypatch):
    gateway = Gateway(folder)
    gateway.children.start(Child(name="haproxy", argv=("sleep", "60"), env={}, log=folder / "haproxy.log"))
    answers = iter([False] * 5 + [True])
    monkeypatch.setattr(gateway.haproxy, "up", lambda: next(answers))
    monkeypatch.setattr(run, "UP_WITHIN", run.UP_WITHIN * 0)
    try:
        run._wait_until_up(gateway.haproxy, settings(folder, gateway.port), threading.Event(), "i", gateway.children)
        assert list(answers) == []
    finally:
        gateway.children.stop()


@pytest.mark.usefixtures("impatient")
def test_another_program_on_the_address_is_said_to_be_one(folder):
    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(GatewayError, match="is in use by another program"):
                wait_until_free(settings(folder, server.server_port), "i-b", threading.Event())
        finally:
            server.shutdown()


def test_an_address_whose_haproxy_is_ending_is_waited_for_and_then_free(folder, monkeypatch):
    monkeypatch.setattr(address, "FREE_WITHIN", address.FREE_WITHIN * PATIENCE)
    gateway = Gateway(folder).start()
    ending = threading.Timer(0.3, gateway.stop)
    ending.start()
    try:
        wait_until_free(settings(folder, gateway.port), "i-b", threading.Event())
    finally:
        ending.join()
    assert not is_taken(f"127.0.0.1:{gateway.port}")
    assert not is_taken(f"[::1]:{gateway.port}")


def test_an_address_that_this_host_does_not_have_is_left_to_haproxy():
    assert not is_taken("192.0.2.1:8000")
    assert not is_taken("no.such.host.invalid:8000")


def test_of_two_installations_on_one_port_the_second_does_not_start(folder, redis, valkey_url, tmp_path):
    port = free_port()
    first, second = (_environ(folder / i, valkey_url, database, i, port) for database, i in ((1, "i-a"), (2, "i-b")))
    argv = (sys.executable, "-m", "bot.cli", "gateway")
    children = Children()
    children.start(Child(name="first", argv=argv, env=first, log=tmp_path / "first.log"))
    try:
        wait_for(lambda: _health(port) == "i-a", "the first gateway answers")
        refused = subprocess.run(argv, env=second, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
        assert refused.returncode == 2
        assert "in use by the gateway of the installation i-a, and this is i-b" in refused.stderr
        assert {_health(port) for _ in range(20)} == {"i-a"}
    finally:
        children.stop()
        for database in (1, 2):
            redis.execute_command("SELECT", database)
            redis.flushdb()
        redis.execute_command("SELECT", 0)


def _environ(home, valkey_url, database, installation, port):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MIXTRAL_", "REDIS_"))}
    return kept | {
        "REDIS_URL": f"{valkey_url.removesuffix('/0')}/{database}",
        "MIXTRAL_HOME": str(home),
        "MIXTRAL_INSTALLATION": installation,
        "MIXTRAL_GATEWAY_BIND": f"127.0.0.1:{port}",
    }


def _health(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").headers.get("x-mixtral-installation")
    except httpx.HTTPError:
        return None
