"""Where requests wait while no replica is up: it answers 503 once one is, and HAProxy takes the request there."""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import ClassVar

from msgspec import Struct

from workers.deployment.events import DeploymentId
from workers.gateway.config import ASKED, DEPLOYMENT
from workers.gateway.outlook import Outlook

PIECE = 65_536
LOOKS_AGAIN = 1.0
"""Seconds: a held request notices a change of what it waits for by this at the latest."""

AT_ONCE = 1000
"""Requests on hold, of all deployments together: each has a thread and an open file."""


class Arrivals(Struct, frozen=True, kw_only=True):
    """Requests that came while no replica was up."""

    held: int
    """Waiting now."""
    last: datetime | None
    """When the newest came."""


class Holding:
    """Serves on a unix socket until closed; one thread a held request, as many as HAProxy lets through."""

    def __init__(
        self, path: Path, limit: timedelta, outlook: Callable[[DeploymentId], Outlook], at_once: int = AT_ONCE
    ) -> None:
        """`limit`: no request waits longer, counted from its arrival at the gateway."""
        self._limit = limit
        self._outlook = outlook
        self._at_once = at_once
        self._looks = 0
        self._changed = threading.Condition()
        self._held: Counter[DeploymentId] = Counter()
        self._last: dict[DeploymentId, datetime] = {}
        path.unlink(missing_ok=True)
        handler = type("_Handler", (_Handler,), {"holding": self})
        self._server = _Server(str(path), handler)
        path.chmod(0o600)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="holding", daemon=True).start()

    def look_again(self) -> None:
        """HAProxy has just been looked at: have every held request see whether it can go on."""
        with self._changed:
            self._looks += 1
            self._changed.notify_all()

    def held(self) -> int:
        """Requests that wait now, of all deployments."""
        with self._changed:
            return self._held.total()

    def arrivals(self, deployment: DeploymentId) -> Arrivals:
        with self._changed:
            return Arrivals(held=self._held[deployment], last=self._last.get(deployment))

    def close(self) -> None:
        """Take no more requests, and let go of those that wait."""
        self._limit = timedelta()
        self.look_again()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, deployment: DeploymentId, asked: datetime) -> Outlook:
        """Return once the deployment has a replica, has none to hope for, or the limit has passed.

        What was seen of HAProxy before the request came here does not count: it came because its replica had just gone.
        """
        with self._changed:
            self._last[deployment] = datetime.now(UTC)
            came = self._looks
            if self._held.total() >= self._at_once:
                return FULL
            self._held[deployment] += 1
            try:
                while True:
                    outlook = self._outlook(deployment)
                    remaining = asked + self._limit - datetime.now(UTC)
                    ready = outlook.ready and self._looks > came
                    if ready or not outlook.coming or remaining <= timedelta():
                        return outlook
                    self._changed.wait(min(remaining.total_seconds(), LOOKS_AGAIN))
            finally:
                self._held[deployment] -= 1


FULL = Outlook(
    ready=False,
    coming=False,
    sentence="More requests wait for replicas than the gateway can hold. Try again in a moment.",
)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # a Unix socket has no address


class _Handler(BaseHTTPRequestHandler):
    holding: ClassVar[Holding]
    protocol_version = "HTTP/1.1"
    timeout = 30  # for a client that sends half a request

    def _answer(self) -> None:
        self._take_body()
        outlook = self.holding.wait(DeploymentId(self.headers.get(DEPLOYMENT, "")), self._asked())
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

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - the library's names

    def _take_body(self) -> None:
        """A socket that is closed on an unread body may take the answer with it."""
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (piece := self.rfile.read(min(left, PIECE))):
            left -= len(piece)

    def _asked(self) -> datetime:
        text = self.headers.get(ASKED, "")
        return datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else datetime.now(UTC)

    def version_string(self) -> str:
        return "mixtral-bot"

    def address_string(self) -> str:
        return "the gateway"

    def log_message(self, *_: object) -> None:
        """Requests are nobody's business."""
