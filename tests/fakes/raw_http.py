"""A server of HTTP that sends any bytes: without an end, one at a time, or encoded."""

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import Self

CLOSE = "Connection: close"


def head(status: int, *fields: str) -> bytes:
    """The head of an answer whose body ends with its connection."""
    return "\r\n".join((f"HTTP/1.1 {status} Said", *fields, CLOSE, "", "")).encode()


class RawServer:
    """`answers`: what is sent for the path of a request, piece by piece, while the client reads."""

    def __init__(self, answers: Callable[[str], Iterable[bytes]]) -> None:
        self.answers = answers
        self.sent = 0
        """Number of bytes that were sent in all answers."""
        self.paths: list[str] = []
        self.heads: list[bytes] = []
        """Of the requests."""
        self.left = threading.Event()
        """Set when a client has ended a request before its answer was complete."""
        self._is_over = threading.Event()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()

    def dripping(self, piece: bytes = b" ", every: float = 0.01) -> Iterator[bytes]:
        """One piece after another, without an end while the test runs."""
        while not self._is_over.wait(every):
            yield piece

    @staticmethod
    def endless(piece: bytes = b" " * 2**16) -> Iterator[bytes]:
        return repeat(piece)

    def _handler(raw) -> type[socketserver.StreamRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    asked = b"".join(iter(self.rfile.readline, b"\r\n"))
                    length = next(
                        (line[15:] for line in asked.splitlines() if line[:15].lower() == b"content-length:"), 0
                    )
                    self.rfile.read(int(length))
                    raw.heads.append(asked)
                    raw.paths.append(asked.split(b" ")[1].decode())
                    for piece in raw.answers(raw.paths[-1]):
                        self.wfile.write(piece)
                        raw.sent += len(piece)
                except OSError:
                    raw.left.set()

        return Handler
