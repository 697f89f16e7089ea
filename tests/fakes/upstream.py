"""An engine with scripted answers, delays and failures. It stores the requests that it receives."""

import contextlib
import json
import select
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

JSON = dict[str, Any]
DEFAULT = "Mustard, ketchup and mayonnaise are three condiments."


def words(text: str) -> list[str]:
    """The tokens of a text, one per word."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


def deltas(how: JSON) -> list[JSON]:
    """What each chunk adds: the thoughts first, then the answer."""
    thoughts = [{how.get("thoughts_in", "reasoning"): thought} for thought in how.get("thoughts", ())]
    answer = how["tokens"] if "tokens" in how else words(how.get("text", DEFAULT))
    return [*thoughts, *({"content": token} for token in answer)]


class Upstream:
    """`script` maps a request to a dict of what the answer is.

    thoughts, thoughts_in, text or tokens, delay, reason, hang, die_after, broken; or status, error.
    """

    def __init__(self, *, context: int | None = 8192, model: str = "scripted") -> None:
        self.context, self.model = context, model
        self.asked: list[JSON] = []
        self.keys: list[str] = []
        self.script: Callable[[JSON], JSON] = lambda _: {}
        self.others: dict[str, Callable[[JSON], JSON]] = {}
        """What it answers at paths other than that of completions; `hang`: after this number of seconds."""
        self.open = self.most_open = 0
        self.left = 0
        """Number of requests that the client ended before their answer was complete."""
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def decided(self, path: str, body: JSON, key: str) -> tuple[int | None, JSON]:
        """Return status and body of an answer that comes at once; None and what is streamed of another."""
        if path in self.others:
            return 200, self.others[path](body)
        if path != "/v1/chat/completions":
            return 404, {"detail": "Not Found"}
        self.asked.append(body)
        self.keys.append(key)
        how = self.script(body)
        return (how["status"], {"error": {"message": how.get("error", "no")}}) if "status" in how else (None, how)

    def _handler(upstream) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionResetError):  # a bot that ends closes the connection without notice
                    super().handle()

            def do_GET(self) -> None:
                entry = {"id": upstream.model, "max_model_len": upstream.context}
                self.answer(200, {"object": "list", "data": [entry]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, how = upstream.decided(self.path, body, self.headers["Authorization"])
                with upstream._lock:
                    upstream.open += 1
                    upstream.most_open = max(upstream.open, upstream.most_open)
                try:
                    if status is None:
                        self.stream(how)
                    else:
                        self.pause(how.get("hang", 0))
                        self.answer(status, {name: value for name, value in how.items() if name != "hang"})
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                    upstream.left += 1
                finally:
                    with upstream._lock:
                        upstream.open -= 1

            def stream(self, how: JSON) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.pause(how.get("hang", 0))
                n = 0
                for n, delta in enumerate(deltas(how), 1):
                    if n > how.get("die_after", n):
                        self.close_connection = True
                        return
                    self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                    self.pause(how.get("delay", 0))
                if how.get("broken"):
                    self.event({"error": {"message": how["broken"]}})
                self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": how.get("reason", "stop")}]})
                self.event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": n}})
                self.chunk(b"data: [DONE]\n\n")
                self.chunk(b"")

            def pause(self, seconds: float) -> None:
                """Wait, at most until the client closes the connection: an engine that sends nothing notices it."""
                readable, _, _ = select.select([self.connection], [], [], seconds)
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
                    raise ConnectionResetError

            def event(self, payload: JSON) -> None:
                self.chunk(b"data: " + json.dumps(payload).encode() + b"\n\n")

            def chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def answer(self, status: int, payload: JSON) -> None:
                data = json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler
