"""The metadata servers of EC2 and GCE, for a guest that reaches them at 169.254.169.254.

What they tell is a tree: folders are dicts, leaves are text. Whoever owns the machine builds it for each request, so
that a changed tag or attribute is seen at once. QEMU leads 169.254.169.254 to this computer's loopback, with the same
port: 80.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

Tree: TypeAlias = "Mapping[str, Tree | str]"

PORT = 80
TOKEN = "token-of-the-metadata-server"
CHANGE_EVERY = 1.0
"""Seconds between two looks for a change, for GCE's `wait_for_change`."""


class Handler(BaseHTTPRequestHandler):
    """One connection. EC2's paths begin with a version, GCE's with `computeMetadata`."""

    protocol_version = "HTTP/1.1"
    server: "Metadata"

    def do_PUT(self) -> None:
        """A session's token, as IMDSv2 requires."""
        self.server.wait()
        if self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers:
            self._answer(200, TOKEN)
        else:
            self._answer(404, "")  # as for the guest attributes of GCE

    def do_GET(self) -> None:
        self.server.wait()
        url = urlsplit(self.path)
        version, *path = [part for part in url.path.split("/") if part] or [""]
        if version == "computeMetadata":
            self._gce(path[1:], {key: values[0] for key, values in parse_qs(url.query).items()})
        elif self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._answer(401, "")
        else:
            self._ec2(path)

    def _ec2(self, path: list[str]) -> None:
        found = _at(self.server.tree(), path)
        if isinstance(found, str):
            self._answer(200, found)
        elif found is None:
            self._answer(404, "")
        else:
            self._answer(
                200, "\n".join(name if isinstance(below, str) else f"{name}/" for name, below in found.items())
            )

    def _gce(self, path: list[str], query: dict[str, str]) -> None:
        if self.headers.get("Metadata-Flavor") != "Google":
            self._answer(403, "Missing required header: Metadata-Flavor")
            return
        if query.get("wait_for_change", "").lower() == "true":
            self._await_change(path, query)
        found = _at(self.server.tree(), path)
        if isinstance(found, str):
            self._answer(200, found)
        elif found is None:
            self._answer(404, "")
        elif query.get("recursive", "").lower() == "true":
            attributes = path[-1:] == ["attributes"]
            self._answer(200, json.dumps(dict(found) if attributes else _camel(found)), "application/json")
        else:
            self._answer(200, "".join(name if isinstance(v, str) else f"{name}/\n" for name, v in found.items()))

    def _await_change(self, path: list[str], query: dict[str, str]) -> None:
        until = time.monotonic() + float(query.get("timeout_sec") or 60)
        if query.get("last_etag", "NONE") in ("", "NONE", "0"):
            return
        before = self.server.tree()
        while time.monotonic() < until and _at(self.server.tree(), path) == _at(before, path):
            if self.server.closing.wait(CHANGE_EVERY):
                return

    def _answer(self, status: int, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("ETag", f"{abs(hash(text)):x}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class Metadata(ThreadingHTTPServer):
    """Serves `tree()`, later by `late` seconds where a scene sets that."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, tree: "Callable[[], Tree]", port: int = PORT) -> None:
        self.tree = tree
        self.late = 0.0
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def wait(self) -> None:
        self.closing.wait(self.late)

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


def _at(tree: "Tree", path: list[str]) -> "Tree | str | None":
    found: Tree | str | None = tree
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _camel(tree: "Tree") -> dict[str, Any]:
    """GCE's JSON has its own keys in camel case; the keys of attributes stay as they are."""
    return {
        _camel_name(name): dict(below)
        if name == "attributes" and isinstance(below, Mapping)
        else _camel(below)
        if isinstance(below, Mapping)
        else below
        for name, below in tree.items()
    }


def _camel_name(name: str) -> str:
    first, *others = name.split("-")
    return first + "".join(other.capitalize() for other in others)
