"""Bolt over HTTP: signed payloads arrive unchanged, others are rejected, and no client blocks the others."""

import http.client
import io
import json
import secrets
import socket
import threading
import time
from contextlib import ExitStack, suppress
from socketserver import ThreadingMixIn
from urllib.parse import urlencode

import httpx
import pytest
from slack_sdk.signature import SignatureVerifier

from bot.sandbox.seed import BOT_TOKEN
from bot.sandbox.server import start
from bot.sandbox.stand_in import Settings
from bot.slack import http_server
from bot.slack.connections import app_of
from bot.slack.http_body import Signatures
from bot.slack.http_server import CONNECTIONS, HEAD_LIMIT, PATHS, serve_http
from tests import loopback
from tests.patience import PATIENCE

SECRET = "a-secret-between-slack-and-us"
FORM, AS_JSON = "application/x-www-form-urlencoded", "application/json"


@pytest.fixture(scope="module")
def received():
    """The clicks and events that the app received."""
    return []


class Hold:
    """A press whose listener does not return before it is released."""

    def __init__(self):
        self.begun, self.released = threading.Event(), threading.Event()

    def wait(self):
        self.begun.set()
        assert self.released.wait(60)


@pytest.fixture(scope="module")
def hold():
    return Hold()


@pytest.fixture(scope="module")
def app(received, hold):
    """A Bolt app that acks a command with its text."""
    with start(Settings(rate_scale=0)) as running:
        app = app_of(BOT_TOKEN, running.api_url)
        app.command("/mixtral")(lambda ack, body: ack(body["text"]))
        app.action("card_down")(lambda ack, body: (ack(), received.append(body["actions"][0]["value"])))
        app.action("hold")(lambda ack: (ack(), hold.wait()))
        app.event("app_mention")(lambda event: received.append(event["text"]))
        yield app


@pytest.fixture(scope="module")
def server(app):
    running = serve_http(app, SECRET, 0, read_within=30)
    yield running
    running.close()


@pytest.fixture(scope="module")
def post(server):
    def send(body, kind=FORM, *, path=PATHS[0], secret=SECRET, age=0, to=server, **headers):
        stamp = str(int(time.time() - age))
        signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
        signed = {"Content-Type": kind, "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature}
        return loopback.post(f"http://127.0.0.1:{to.server_port}{path}", content=body, headers=signed | headers)

    return send


@pytest.fixture(autouse=True)
def _no_trace(caplog):
    yield
    assert [r for r in caplog.get_records("call") if r.exc_info] == []


def command(text):
    trigger = secrets.token_hex(8)  # as each of Slack's commands has another one
    fields = {"command": "/mixtral", "text": text, "user_id": "U1", "team_id": "T1", "trigger_id": trigger}
    return urlencode(fields)


@pytest.mark.parametrize(
    "text", ["ask What is a payload?", "payload", "ask payload=1&text=2", "ask {payload}", "ask ü"]
)
def test_a_command_arrives_as_it_was_typed_at_each_of_the_request_urls(post, text):
    for path in PATHS:
        said = post(command(text), path=path)
        assert said.status_code == 200
        assert said.text == text


def click(value, action="card_down"):
    payload = {"type": "block_actions", "actions": [{"action_id": action, "value": value, "type": "button"}]}
    return urlencode({"payload": json.dumps(payload)})


def test_a_click_and_an_event_arrive(post, received):
    assert post(click("payload")).status_code == 200
    mention = {"type": "app_mention", "channel": "C1", "ts": "1.2", "text": "a payload?"}
    event = {"type": "event_callback", "event": mention}
    assert post(json.dumps(event), AS_JSON).status_code == 200
    assert received[-2:] == ["payload", "a payload?"]


def test_a_request_that_is_sent_again_as_it_was_acts_once(post, received):
    body = click("again")
    stamp = str(int(time.time()))
    said = [post(body, **{"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signed(stamp, body)}) for _ in "123"]
    assert [answer.status_code for answer in said] == [200, 200, 200]
    assert received.count("again") == 1


def test_signatures_are_forgotten_once_they_are_no_longer_valid():
    now = 0.0
    signatures = Signatures(lambda: now)
    assert signatures.add("v0=1")
    now = 299.0
    assert not signatures.add("v0=1")
    now = 601.0
    assert signatures.add("v0=2")
    assert signatures.add("v0=1")


def signed(stamp, body):
    return SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body=body)


def test_slack_s_check_of_the_request_url_is_answered(post):
    said = post(json.dumps({"type": "url_verification", "challenge": "abc", "token": "t"}), AS_JSON)
    assert said.json() == {"challenge": "abc"}


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": "another"},
        {"age": 600},
        {"age": -600},
        {"X-Slack-Signature": "v0=00"},
        {"X-Slack-Signature": "v0=\u00fc".encode("latin-1")},
        {"X-Slack-Request-Timestamp": "yesterday"},
        {"X-Slack-Request-Timestamp": "9" * 400},
        {"X-Forwarded-For": "127.0.0.1", "X-Slack-Signature": ""},
    ],
)
def test_a_forged_or_old_request_is_refused(post, forged):
    for body in (command("help"), "{", "payload={"):
        said = post(body, **forged)
        assert said.status_code == 401
        assert said.text == ""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"command": "/mixtral", "text": "help"}', FORM),
        ("command=%2Fmixtral&text=help", AS_JSON),
        ("payload=no+JSON", FORM),
        ("payload=[]", FORM),
        ("[1]", AS_JSON),
        ("", FORM),
    ],
)
def test_a_body_that_is_not_of_the_kind_it_claims_to_be_is_refused(post, body, kind):
    assert post(body, kind).status_code == 400


def test_a_body_of_other_bytes_than_text_is_refused(server):
    stamp = str(int(time.time()))
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": "v0=00"}
    url = f"http://127.0.0.1:{server.server_port}{PATHS[0]}"
    assert loopback.post(url, content=b"\xff\xfe", headers=headers).status_code == 401


def test_a_load_balancer_is_answered_and_other_paths_are_not(server):
    url = f"http://127.0.0.1:{server.server_port}"
    assert [loopback.get(f"{url}{path}").status_code for path in ("/", "/health", "/slack/events")] == [200, 200, 404]
    assert loopback.post(f"{url}/elsewhere", content="").status_code == 404


def exchange(server, sent):
    """Send bytes as they are, and return what comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5 * PATIENCE) as client:
        client.sendall(sent)
        received = b""
        while part := client.recv(4096):
            received += part
    return received


def test_a_body_that_is_too_large_or_of_no_stated_size_is_not_read(server):
    head = f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\n".encode()
    assert b" 413 " in exchange(server, head + b"Content-Length: 99999999\r\n\r\n")
    assert b" 413 " in exchange(server, head + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")
    assert b" 411 " in exchange(server, head + b"Transfer-Encoding: chunked\r\n\r\n")
    assert b" 411 " in exchange(server, head + b"Content-Length: -1\r\n\r\n")


def sends_a_line(client):
    try:
        client.sendall(b"X: 1\r\n")
    except ConnectionError:
        return False
    return True


def test_clients_that_send_slowly_are_cut_off_and_block_no_other_client(app, post):
    server = serve_http(app, SECRET, 0, read_within=3)
    slow = [socket.create_connection(("127.0.0.1", server.server_port), timeout=5) for _ in range(8)]
    try:
        for client in slow:
            client.sendall(f"POST {PATHS[0]} HTTP/1.1\r\nContent-Length: 100\r\n".encode())
        assert post(command("help"), to=server).text == "help"
        until, still_open = time.monotonic() + 3 * PATIENCE, slow
        while still_open:
            assert time.monotonic() < until
            still_open = [client for client in still_open if sends_a_line(client)]
            time.sleep(0.25)  # within the time limit of a single read; 100 lines would be too many
    finally:
        for client in slow:
            client.close()
        server.close()


def slow(server, sent):
    client = socket.create_connection(("127.0.0.1", server.server_port), timeout=5 * PATIENCE)
    client.sendall(sent)
    return client


def is_cut_off(client):
    """Whether the server has closed a connection on which it has sent nothing."""
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_clients_that_send_slowly_and_come_again_lock_no_signed_request_out(app, post):
    """The server would let each of them send for a minute. Those that have sent nothing are the newest."""
    server = serve_http(app, SECRET, 0, read_within=60)
    half = f"POST {PATHS[0]} HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf of it".encode()
    others = [slow(server, half if n < CONNECTIONS // 2 else b"") for n in range(CONNECTIONS)]
    cut_off = 0
    try:
        for n in range(12):
            assert post(command(f"help {n}"), to=server).text == f"help {n}"
            for gone in [client for client in others if is_cut_off(client)]:
                gone.close()
                others.remove(gone)
                others.append(slow(server, b""))
                cut_off += 1
        assert cut_off
    finally:
        for client in others:
            client.close()
        server.close()


def test_what_is_cut_off_is_not_carried_out(app, post, received, monkeypatch):
    """A connection may be closed for another one at the moment at which its request is complete."""
    server = serve_http(app, SECRET, 0, read_within=60)

    def cut_off_after(reading, size):
        body = io.BufferedReader.read(reading, size)
        [connection] = server.places._due
        assert server.places.cut_off(connection)
        return body

    try:
        monkeypatch.setattr(http_server._Request, "read", cut_off_after)
        with pytest.raises(httpx.TransportError):
            post(click("lost"), to=server)
        monkeypatch.undo()
        assert post(click("kept"), to=server).status_code == 200
        assert received[-1] == "kept"
        assert "lost" not in received
    finally:
        server.close()


def test_a_head_that_is_too_large_is_not_read_to_its_end(server):
    line = b"X-Header: " + b"x" * 1000 + b"\r\n"
    lines = b"GET /health HTTP/1.1\r\n" + line * (HEAD_LIMIT // len(line) - 1)
    last = b"X-Last: " + b"x" * (HEAD_LIMIT - len(lines) - len(b"X-Last: \r\n\r\n"))
    assert b" 200 " in exchange(server, lines + last + b"\r\n\r\n")
    assert b" 431 " in exchange(server, lines + last + b"xx\r\n")  # although the client may send more
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5 * PATIENCE) as client:
        with suppress(ConnectionError):
            client.sendall(lines + line * 1000)
        with suppress(ConnectionError):
            assert b" 431 " in (client.recv(4096) or b" 431 ")


def test_of_a_head_no_more_than_the_limit_is_held():
    endless = Endless()
    reading = http_server._Request(endless)
    assert len(reading.readline(65_537)) == HEAD_LIMIT
    with pytest.raises(http.client.HTTPException):
        reading.readline(65_537)
    assert endless.read_so_far <= HEAD_LIMIT + io.DEFAULT_BUFFER_SIZE


class Endless(io.RawIOBase):
    """A client that sends one header without an end."""

    read_so_far = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        buffer[:] = b"x" * len(buffer)
        self.read_so_far += len(buffer)
        return len(buffer)


def test_more_connections_than_threads_are_answered_with_503(app, post, hold, monkeypatch):
    monkeypatch.setattr(http_server, "CONNECTIONS", 1)
    server = serve_http(app, SECRET, 0, read_within=30)
    with ExitStack() as closing:
        closing.callback(server.close)
        holder = threading.Thread(target=post, args=(click("", "hold"),), kwargs={"to": server})
        holder.start()
        closing.callback(holder.join)
        closing.callback(hold.released.set)
        assert hold.begun.wait(10 * PATIENCE)
        assert b" 503 " in exchange(server, b"")
        hold.released.set()
        deadline = time.monotonic() + 5 * PATIENCE
        while not is_up(server):
            assert time.monotonic() < deadline


def is_up(server):
    try:
        return loopback.get(f"http://127.0.0.1:{server.server_port}/").status_code == 200
    except httpx.TransportError:  # closed with status 503 before the request was read
        return False


def test_a_request_for_which_no_thread_can_be_started_occupies_no_connection(app, monkeypatch, caplog):
    monkeypatch.setattr(http_server, "CONNECTIONS", 1)
    server = serve_http(app, SECRET, 0, read_within=5)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(ThreadingMixIn, "process_request", no_thread)
            assert exchange(server, b"GET / HTTP/1.1\r\n\r\n") == b""
        assert b" 200 " in exchange(server, b"GET / HTTP/1.1\r\n\r\n")
    finally:
        server.close()
        caplog.clear()


def no_thread(*_):
    raise RuntimeError("can't start new thread")
