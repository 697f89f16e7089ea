"""Machines of a stand-in cloud that boot on a virtual clock. One server answers on all of their loopback addresses."""

import contextlib
import json
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import count
from random import Random
from typing import Any, ClassVar

GATEWAY = "the gateway"


class BootingMachines:
    """The machines that a stand-in boots. `boots_in(n)`: time until the n-th machine's engine answers.

    The gateway's address answers as long as any machine does.
    """

    def __init__(
        self, clock: Callable[[], datetime], boots_in: Callable[[int], timedelta], port: int, seed: int
    ) -> None:
        self._clock, self._boots_in, self._port = clock, boots_in, port
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[str, socket.socket] = {}
        self._ready_at: dict[str, datetime] = {}
        random = Random(f"{seed} {port}")
        self._net = f"127.{random.randrange(2, 250)}.{random.randrange(1, 250)}"
        self._last = count(1)
        self.booted: Counter[str] = Counter()
        """Number of boots of each machine."""
        self.url = f"http://{self._listen(GATEWAY)}:{port}"
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="replicas", daemon=True)
        self._thread.start()

    def boot(self, machine: str, user_data: str, /) -> str:
        with self._lock:
            self.booted[machine] += 1
            self._ready_at[machine] = self._clock() + self._boots_in(sum(self.booted.values()))
            return self._listen(machine)

    def kill(self, machine: str, /) -> None:
        with self._lock:
            self._ready_at.pop(machine, None)
            if listening := self._sockets.pop(machine, None):
                self._selector.unregister(listening)
                listening.close()

    def console(self, machine: str, /) -> str:
        return ""

    def alive(self, machine: str, /) -> bool:
        return machine in self._ready_at

    def answers(self, machine: str) -> bool:
        """Whether the engine at an address is up; for the gateway's address, whether any engine is up."""
        with self._lock:
            known = self._ready_at
            about = list(known.values()) if machine == GATEWAY else [known[machine]] if machine in known else []
        return any(at <= self._clock() for at in about)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        for machine in list(self._sockets):
            self.kill(machine)
        self._selector.close()

    def _listen(self, machine: str) -> str:
        address = f"{self._net}.{next(self._last)}"
        listening = socket.create_server((address, self._port), backlog=64)
        listening.setblocking(False)
        self._sockets[machine] = listening
        self._selector.register(listening, selectors.EVENT_READ, machine)
        return address

    def _serve(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select(0.1):
                with contextlib.suppress(OSError):  # the client or the machine is gone
                    assert isinstance(key.fileobj, socket.socket)
                    connection, peer = key.fileobj.accept()
                    with connection:
                        connection.settimeout(5)
                        handler = type("Handler", (Handler,), {"answers": self.answers(key.data)})
                        handler(connection, peer, None)


class Handler(BaseHTTPRequestHandler):
    """The answer to one request."""

    answers: ClassVar[bool]

    def do_GET(self) -> None:
        with_key = "Authorization" in self.headers
        self._say(200 if with_key else 401, {"object": "list", "data": []})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._say(200, {"choices": [{"text": " mustard"}]})

    def _say(self, status: int, body: dict[str, Any]) -> None:
        if not self.answers:
            status, body = 503, {"error": {"message": "the model is being loaded"}}
        said = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass
