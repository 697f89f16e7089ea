"""The server that holds requests while no replica is up; its 503 makes HAProxy retry a request on a replica."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import ClassVar

from msgspec import Struct

from workers.deployment.events import DeploymentId
from workers.gateway.config import ARRIVED, DEPLOYMENT
from workers.gateway.outlook import Outlook

PIECE = 65_536
LINGER = 1.0
"""Maximum time for which the rest of a body is read after the answer, in seconds."""
RECHECK = 1.0
"""Maximum time between two checks of a held request, in seconds."""

MAX_HELD = 1000
"""Maximum number of requests on hold, over all deployments: each needs a thread and an open file."""


class Arrivals(Struct, frozen=True, kw_only=True):
    """Requests to one deployment that arrived while no replica was up."""

    held: int
    """Number of requests that wait now."""
    last: float | None
    """Arrival of the newest request, by `time.monotonic`; None if there was none."""


class Holding:
    """Serves on a Unix socket until closed, with one thread per held request."""

    def __init__(
        self,
        path: Path,
        limit: timedelta,
        outlook: Callable[[DeploymentId], Outlook],
        max_held: int = MAX_HELD,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`limit` is the longest that a request waits, counted from its arrival at the gateway."""
        self._limit = limit
        self._now = now
        self._closed = False
        self._outlook = outlook
        self._max_held = max_held
        self._looks = 0
        self._changed = threading.Condition()
        self._held: Counter[DeploymentId] = Counter()
        self._last: dict[DeploymentId, float] = {}
        path.unlink(missing_ok=True)
        handler = type("_Handler", (_Handler,), {"holding": self})
        self._server = _Server(str(path), handler)
        path.chmod(0o600)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="holding", daemon=True).start()

    def look_again(self) -> None:
        """Make every held request check whether it can continue; called after each check of HAProxy."""
        with self._changed:
            self._looks += 1
            self._changed.notify_all()

    def held(self) -> int:
        """Number of requests that wait now, over all deployments."""
        with self._changed:
            return self._held.total()

    def arrivals(self, deployment: DeploymentId) -> Arrivals:
        with self._changed:
            return Arrivals(held=self._held[deployment], last=self._last.get(deployment))

    def keep_only(self, known: Collection[DeploymentId]) -> None:
        """Forget the arrivals of all other deployments."""
        with self._changed:
            self._last = {deployment: at for deployment, at in self._last.items() if deployment in known}

    def close(self) -> None:
        """Stop serving, and answer all requests that wait."""
        self._closed = True
        self.look_again()
        self._server.shutdown()
        self._server.server_close()

    def wait(
        self, deployment: DeploymentId, arrived: datetime, read: Callable[[float], None] = lambda _: None
    ) -> Outlook:
        """Return when a replica is up, when none will start, or when the limit has passed since `arrived`.

        `read`: reads the request's body until a time of `time.monotonic`; called once the request has a place.
        Checks of HAProxy before the call are ignored: they may still show the replica whose end led to the hold.
        """
        now = self._now()  # it is read only once: the clock of the host may step
        ends = time.monotonic() + min(arrived + self._limit - now, self._limit).total_seconds()
        with self._changed:
            self._last[deployment] = time.monotonic()
            arrived_at = self._looks
            if self._held.total() >= self._max_held:
                return FULL
            self._held[deployment] += 1
        try:
            read(ends)
            with self._changed:
                while True:
                    outlook = self._outlook(deployment)
                    remaining = ends - time.monotonic()
                    ready = outlook.ready and self._looks > arrived_at
                    if ready or not outlook.coming or remaining <= 0 or self._closed:
                        return outlook
                    self._changed.wait(min(remaining, RECHECK))
        finally:
            with self._changed:
                self._held[deployment] -= 1
                if not self._held[deployment]:
                    del self._held[deployment]


FULL = Outlook(
    ready=False,
    coming=False,
    sentence="The gateway holds the maximum number of waiting requests. Try again in a moment.",
)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """Log every error but a client's disconnection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # a Unix socket has no address


class _Handler(BaseHTTPRequestHandler):
    holding: ClassVar[Holding]
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds; for a client that sends incomplete headers, or does not take the answer
    _left = 0  # bytes of the body that have not been read

    def _answer(self) -> None:
        self._left = int(self.headers.get("Content-Length") or 0)
        deployment = DeploymentId(self.headers.get(DEPLOYMENT, ""))
        outlook = self.holding.wait(deployment, self._arrived_at(), self._discard_body)
        body = json.dumps(
            {"error": {"message": outlook.sentence, "type": "service_unavailable", "code": "no_replica"}}
        ).encode()
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", str(max(1, round(outlook.retry_after.total_seconds()))))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True
        self._discard_body(time.monotonic() + LINGER)  # closing a socket with unread data may discard the answer

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - the library's names

    def _discard_body(self, until: float) -> None:
        """Read the body until its end, or until a time of `time.monotonic`: a client may send it slowly."""
        try:
            while self._left > 0 and (remaining := until - time.monotonic()) > 0:
                self.connection.settimeout(remaining)
                piece = self.rfile.read1(min(self._left, PIECE))
                self._left = self._left - len(piece) if piece else 0
        except TimeoutError:
            self._left = 0  # the library reads no more after a timeout
        finally:
            self.connection.settimeout(self.timeout)

    def _arrived_at(self) -> datetime:
        text = self.headers.get(ARRIVED, "")
        return datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else datetime.now(UTC)

    def version_string(self) -> str:
        return "mixtral-bot"

    def address_string(self) -> str:
        return "the gateway"

    def log_message(self, *_: object) -> None:
        """Log no requests: they are private."""
