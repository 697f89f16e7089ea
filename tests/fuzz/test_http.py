"""The doors of HTTP: the bot's server for Slack, and the gateway. Any bytes may arrive; both serve on."""

import contextlib
import hashlib
import hmac
import json
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from bot.slack.http_server import serve_http
from tests.fakes.haproxy import Gateway, Replica, route, server
from tests.fuzz.fuzzing import MOST_MEMORY, fuzz
from tests.fuzz.test_slack import command, event, press
from tests.patience import PATIENCE

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(0)]

SECRET = "fuzz"
HTTP_SAYS = (501, 505)
"""An unknown method, or another version of HTTP."""
WITHIN = 1.5
"""Seconds for an answer to bytes that may be half a request."""


def exchanged(port: int, data: bytes, *, ends: bool) -> bytes:
    """What a server sends for these bytes. `ends`: whether the client says that nothing follows."""
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN * PATIENCE) as client:
        client.settimeout(WITHIN)
        received = b""
        with contextlib.suppress(OSError):
            client.sendall(data)
            if ends:
                client.shutdown(socket.SHUT_WR)
            else:
                client.settimeout(0.05)
            while part := client.recv(65_536):
                received += part
        return received


def statuses(received: bytes) -> list[int]:
    return [int(line.split()[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.") and len(line) > 11]


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode(errors="replace") + body


def signed(body: bytes, kind: str) -> bytes:
    stamp = str(int(time.time()))
    mark = "v0=" + hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": kind, "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": mark}
    return request("/slack/events", body, headers | {"Connection": "close"})


def test_the_bots_server(bot, errors):
    listening = serve_http(bot.app, SECRET, 0, read_within=2.0)
    port = listening.server_port
    form = "application/x-www-form-urlencoded"

    def once(mutator):
        rng = mutator.rng
        sent = rng.choice((command("status"), event("app_mention", text="status"), press("card_down", "d-1")))
        content = json.dumps(mutator.payload(sent) if rng.random() < 0.5 else sent).encode()
        match rng.randrange(4):
            case 0:
                kind = rng.choice(("application/json", form, mutator.junk()[:40].strip()))
                data = signed(mutator.data(content), kind)
            case 1:
                fields = {"payload": content.decode()} if rng.random() < 0.5 else command(mutator.sentence())
                typed = urlencode(fields, errors="replace").encode()
                data = signed(mutator.data(typed) if rng.random() < 0.5 else typed, form)
            case 2:
                data = mutator.data(signed(content, "application/json"))
            case _:
                data = rng.randbytes(rng.randrange(400))
        mutator.shown.append(data)
        said = exchanged(port, data, ends=rng.random() < 0.9)
        assert not [status for status in statuses(said) if status >= 500 and status not in HTTP_SAYS], said
        if rng.random() < 0.05:
            assert httpx.get(f"http://127.0.0.1:{port}/health", verify=False, timeout=5 * PATIENCE).text == "ok\n"

    try:
        fuzz("bot-http", once, errors)
    finally:
        listening.close()


def memory_of(pid: int) -> int:
    """MiB of a process and of its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) // 1024 + sum(memory_of(int(child)) for child in children)


@pytest.fixture
def gateway(monkeypatch):
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        monkeypatch.setattr("subprocess.Popen", partial(subprocess.Popen, stderr=subprocess.DEVNULL))
        replica, it = Replica("r1"), Gateway(Path(folder))
        monkeypatch.undo()
        try:
            it.start()
            it.converge(route("d1", [server(replica)], keys=["ka"], replica_key="own-a", ids={"ka": "d1/k-1"}))
            yield it
        finally:
            it.stop()
            replica.end()


def test_the_gateway(gateway, errors):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    keyed = {"Authorization": "Bearer ka", "Content-Type": "application/json"}
    first = gateway.master()
    paths = (
        "/v1/chat/completions",
        "/v1/models",
        "/stream",
        "/health",
        "/metrics",
        "/slots",
        "/tokenize",
        "/../x",
        "*",
    )

    def once(mutator):
        rng = mutator.rng
        path = rng.choice(paths) if rng.random() < 0.8 else mutator.text("/v1/models")
        headers = keyed | {rng.choice(("X-Mixtral-Deployment", "Transfer-Encoding", "Expect", "Host", "x-chunks")): "1"}
        if rng.random() < 0.5:
            headers["Authorization"] = mutator.text("Bearer ka")
        data = request(path, mutator.data(body) if rng.random() < 0.3 else body, headers) if rng.random() < 0.9 else b""
        data = mutator.data(data) if rng.random() < 0.7 else data or rng.randbytes(rng.randrange(600))
        mutator.shown.append(data)
        exchanged(gateway.port, data, ends=rng.random() < 0.9)
        if rng.random() < 0.1:
            assert gateway.who("ka") == "r1"
            assert gateway.ask("kb")[0] in (401, 429)  # many wrong keys of one address are limited

    before = memory_of(first)

    def grown():
        assert memory_of(first) - before < MOST_MEMORY, "HAProxy's memory has grown"

    fuzz("gateway", once, errors, grown=grown)
    assert gateway.who("ka") == "r1"
    assert gateway.master() == first, "HAProxy has not been started again"
