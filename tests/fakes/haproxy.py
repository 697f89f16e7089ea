"""A gateway on loopback, replicas behind it that can freeze, and clients that record what they receive."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.patience import PATIENCE
from workers.gateway.config import Check, Shape
from workers.gateway.errors import GatewayDown
from workers.gateway.haproxy import Haproxy
from workers.gateway.table import Actual, ReplicaServer, Route, RoutingTable, State
from workers.processes import Children
from workers.sandbox.valkey import free_port

T = TypeVar("T")

REPLICA = """
import http.server, json, os, sys, time
name, port = sys.argv[1], int(sys.argv[2])

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is sent in one piece: a kill comes before or after it
    def log_message(self, *_): pass
    def do_GET(self):
        self.answer(200)
    def do_POST(self):
        self.size = len(self.rfile.read(int(self.headers["Content-Length"])))
        status = int(self.headers.get("x-answer") or 200)
        if self.path != "/v1/stream":
            return self.answer(status)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        until, chunks = self.headers["x-until"], int(self.headers["x-chunks"])
        for n in range(chunks):
            last = n == chunks - 1 or bool(until and os.path.exists(until))
            self.wfile.write(b"5\\r\\n" + (b"last" if last else b"%04d" % n) + b"\\n\\r\\n")
            self.wfile.flush()
            if last:
                break
            time.sleep(0.05)
        self.wfile.write(b"0\\r\\n\\r\\n")
    def answer(self, status):
        if self.path == "/health" and name.startswith("healthless"):
            status = 404
        if self.path == "/health" and name.startswith("sick"):
            status = 503
        if self.path == "/health" and name.startswith("mute"):
            time.sleep(60)
        body = json.dumps({"replica": name, "size": getattr(self, "size", 0),
                           "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

class ReplicaServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

ReplicaServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Replica:
    """A server in a process of its own, which can be killed and frozen."""

    def __init__(self, name: str, port: int | None = None) -> None:
        self.name, self.port = name, port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        argv = [sys.executable, "-c", REPLICA, name, str(self.port)]
        self.process = subprocess.Popen(argv)
        try:
            wait_for(lambda: connects(self.port), "the replica listens")
        except BaseException:
            self.end()
            raise

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def connects(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], T], what: str, seconds: float = 20) -> T:
    deadline = time.monotonic() + seconds * PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"timed out waiting until {what}"
        time.sleep(0.02)
    return found


CHECK = Check(timeout=timedelta(seconds=1))
"""A fifth of the product's time, so that a replica that freezes is down within 5 s."""


LONGEST = 2400
"""Number of chunks after which a stream ends that no test has ended: two minutes."""


class Gateway:
    """HAProxy as a child process, and access to its state from outside."""

    def __init__(
        self,
        folder: Path,
        *,
        pool: int = 4,
        tls: str | None = None,
        metrics: str | None = None,
        bufsize: int = 65536,
        check: Check = CHECK,
        installation: str = "",
        maxconn: int = 8000,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.shape = Shape(
            bind=f"127.0.0.1:{self.port}",
            hold_socket=str(folder / "hold.sock"),
            pool=pool,
            tls=tls is not None,
            metrics_bind=metrics,
            bufsize=bufsize,
            check=check,
            installation=installation,
            maxconn=maxconn,
        )
        self.haproxy = Haproxy(self.shape, folder, certificate=tls)
        self.children = Children()

    def start(self, table: RoutingTable | None = None) -> Self:
        self.haproxy.prepare(table or RoutingTable())
        self.children.start(self.haproxy.child(self.folder / "haproxy.log"))
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> None:
        wait_for(lambda: self.haproxy.up() and connects(self.port), "HAProxy answers")

    def converge(self, *routes: Route, flowing: Iterable[str] = ()) -> Actual:
        return self.haproxy.converge(RoutingTable(routes=routes), frozenset(flowing))

    def master(self) -> int:
        return self.children.pid("haproxy")

    def stop(self) -> None:
        self.children.stop()

    def ask(
        self,
        key: str = "k",
        *,
        path: str = "/v1/completions",
        headers: Mapping[str, str] | None = None,
        body: Any = b"{}",
        method: str = "POST",
    ) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = ({"Authorization": f"Bearer {key}"} if key else {}) | dict(headers or {})
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            text = answer.read()
            return (
                answer.status,
                {k.lower(): v for k, v in answer.headers.items()},
                json.loads(text) if text[:1] == b"{" else text,
            )
        finally:
            connection.close()

    def who(self, key: str = "k", **more: Any) -> str:
        status, _, body = self.ask(key, **more)
        assert status == 200, body
        return str(body["replica"])

    @contextmanager
    def stream(
        self, key: str = "k", chunks: int | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[list[Any]]:
        """Read a stream in a thread. Returns a list that grows; its last element is "whole" or the error.

        `chunks`: its length, one each 0.05 s. Without it, the replica goes on until the context ends.
        """
        seen: list[Any] = []
        with tempfile.TemporaryDirectory(prefix="stream-") as folder:
            until = Path(folder) / "until"
            thread = threading.Thread(target=self._stream, args=(key, chunks, until, seen, headers or {}))
            thread.start()
            try:
                wait_for(lambda: seen, "the stream begins")
                yield seen
            finally:
                if chunks is None:
                    until.touch()
                thread.join()

    def _stream(self, key: str, chunks: int | None, until: Path, seen: list[Any], more: Mapping[str, str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        own = {"Authorization": f"Bearer {key}", "x-chunks": str(chunks or LONGEST), "x-until": str(until)}
        try:
            connection.request("POST", "/v1/stream", body=b"{}", headers={**own, **more})
            answer = connection.getresponse()
            while line := answer.readline():
                seen.append(line)
            seen.append("whole" if seen[-1:] == [b"last\n"] else "cut short")
        except (OSError, http.client.HTTPException) as error:
            seen.append(repr(error))
        finally:
            connection.close()


@contextmanager
def load(gateway: Gateway, key: str = "k", workers: int = 6) -> Iterator[list[int | str]]:
    """Send requests one at a time from several clients with kept connections. Returns the list of failures."""
    failed: list[int | str] = []
    asked: list[int] = []
    ends = threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        while not ends.is_set():
            try:
                connection.request("POST", "/v1/x", body=b"{}", headers={"Authorization": f"Bearer {key}"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failed.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                connection.close()
            asked.append(1)
            time.sleep(0.01)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(asked) > 10, "the load runs")
        yield failed
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def route(
    deployment: str = "d1",
    servers: Iterable[ReplicaServer] = (),
    keys: Iterable[str] = ("k",),
    replica_key: str = "rk",
    *,
    ids: Mapping[str, str] | None = None,
    limits: Mapping[str, int] | None = None,
) -> Route:
    """`ids`: the id of each key that has limits; `limits`: their numbers."""
    return Route(
        deployment=deployment,
        servers=tuple(servers),
        keys=frozenset(keys),
        replica_key=replica_key,
        ids=ids or {},
        limits=limits or {},
    )


def server(replica: Replica, state: State = "ready", name: str | None = None, patience: float = 3) -> ReplicaServer:
    """`patience`: in seconds, for the checks of CHECK."""
    return ReplicaServer(
        name=name or replica.name, address=replica.address, state=state, patience=timedelta(seconds=patience)
    )


__all__ = ["Gateway", "GatewayDown", "Replica", "load", "route", "server", "signal", "wait_for"]
