"""Serves the app over HTTP, as the alternative to Socket Mode, behind a proxy with TLS.

The server of the standard library, with limits on the number of connections, the size of a request and the time to send
it. A web framework would need the same limits.
"""

import contextlib
import http.client
import io
import logging
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

from slack_bolt import App, BoltRequest
from slack_sdk.signature import SignatureVerifier

from bot.slack.http_body import Rejected, Signatures, verified
from bot.slack.http_places import ConnectionPlaces
from bot.slack.message import JSON

_LOG = logging.getLogger(__name__)

PATHS = ("/slack/events", "/slack/interactivity", "/slack/commands")
"""Slack's three request URLs. Each path accepts every kind of request, so that one URL may be entered three times."""
HEALTH = ("/", "/health")

CONNECTIONS = 64
"""Maximum number of connections, each in a thread. A further one takes the place of one that waits for its client.

If each of them has sent its request, the further one is answered with status 503; Slack repeats events.
"""
READ_WITHIN = 3.0
"""Maximum time for the request to arrive, in seconds, and for each write of the response. Slack waits as long."""
HEAD_LIMIT = 32_768
"""Maximum size of the request line and the headers, in bytes. They are read before the signature is verified."""
BODY_LIMIT = 1_048_576
"""Maximum size of a request's body, in bytes."""
RETRIED = ("x-slack-retry-num", "x-slack-retry-reason")

_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HttpServer(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        app: App,
        verifier: SignatureVerifier,
        port: int,
        *,
        host: str = "127.0.0.1",
        read_within: float = READ_WITHIN,
    ) -> None:
        """Raises OSError if the port is in use. `read_within`: in seconds."""
        self.app = app
        self.signatures = Signatures()
        self.verifier = verifier
        self.read_within = read_within
        self.places = ConnectionPlaces(CONNECTIONS, read_within)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's lookup of the host's name, which can take seconds."""
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment] # an address of IPv4

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.places.take(request):
            _LOG.warning("%d connections are open; a further one is refused with status 503", CONNECTIONS)
            request.settimeout(0)  # the only thread that accepts connections must not wait
            with contextlib.suppress(OSError):
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started now; the place is for the next request
            self.places.leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.leave(request)

    def service_actions(self) -> None:
        """Called between two polls of the listener."""
        self.places.end_late()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - their names in the class above
        """Log an exception of a handler. A connection that the client closed is not an error of the bot."""
        error = sys.exception()
        if isinstance(error, OSError):
            _LOG.debug("a connection ended: %s", error)
        else:
            _LOG.error("a request failed", exc_info=error)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Request(io.BufferedReader):
    """What a client sends. Lines are read up to HEAD_LIMIT in sum; the body follows them."""

    _left = HEAD_LIMIT

    def readline(self, size: int | None = -1, /) -> bytes:
        """Raises HTTPException, which is answered with status 431, after HEAD_LIMIT bytes of lines."""
        if not self._left:
            raise http.client.HTTPException(f"more than {HEAD_LIMIT} bytes")
        line = super().readline(self._left if size is None or size < 0 else min(size, self._left))
        self._left -= len(line)
        return line


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    server_version = "mixtral-bot"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = _Request(self.rfile.detach())
        self.connection.settimeout(self.server.read_within)

    def do_GET(self) -> None:
        self._answer(HTTPStatus.OK, "ok\n") if self._path() in HEALTH else self._answer(HTTPStatus.NOT_FOUND)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        if self._path() not in PATHS:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        try:
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            payload = verified(body, headers, self.server.verifier)
        except Rejected as rejected:
            _LOG.info("a request was rejected with status %d: %s", rejected.status, rejected)
            self._answer(rejected.status)
        else:
            if not self.server.signatures.add(headers["x-slack-signature"]):
                _LOG.info("a request that was received already is not repeated")
                self._answer(HTTPStatus.OK)
                return
            self._dispatch(payload, {name: headers[name] for name in RETRIED if name in headers})

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdecimal():
            raise Rejected(HTTPStatus.LENGTH_REQUIRED, "no Content-Length")
        if len(length) > len(str(BODY_LIMIT)) or int(length) > BODY_LIMIT:
            raise Rejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length[:20]} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Rejected(HTTPStatus.BAD_REQUEST, "the body ended early")
        if not self.server.places.has_arrived(self.connection):
            raise Rejected(HTTPStatus.REQUEST_TIMEOUT, "the connection was cut off")
        return body

    def _dispatch(self, payload: JSON, headers: dict[str, str]) -> None:
        # Bolt neither parses nor verifies the body in this mode.
        request = BoltRequest(mode="socket_mode", body=payload, headers=dict(headers))
        response = self.server.app.dispatch(request)
        self._answer(HTTPStatus(response.status), response.body, response.first_headers())

    def _answer(self, status: HTTPStatus, text: str = "", headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in (headers or {"content-type": "text/plain; charset=utf-8"}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _path(self) -> str:
        return self.path.partition("?")[0]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the class above
        _LOG.debug(format, *args)


def serve_http(
    app: App, signing_secret: str, port: int, *, host: str = "127.0.0.1", read_within: float = READ_WITHIN
) -> HttpServer:
    """Serve `PATHS` and `HEALTH` in a thread until closed. Raises OSError if the port is in use."""
    server = HttpServer(app, SignatureVerifier(signing_secret), port, host=host, read_within=read_within)
    threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True).start()
    return server
