"""A hub on loopback: models that are public, gated, private or missing, and the tokens that open them."""

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

INVALID = {"error": "Invalid credentials in Authorization header"}
MISSING = {"error": "Repository not found"}


class FakeHub:
    """Answers as huggingface.co does about a model that is missing or private: 401 without a token, 404 with one.

    Descriptions of gated models are public; their files are not.
    """

    def __init__(self) -> None:
        self.models: dict[str, str | bool] = {}
        """Value of `gated` of each model: False, `auto` or `manual`."""
        self.opens: dict[str, set[str]] = {}
        """The valid tokens, each with the gated models that it opens."""
        self.renamed: dict[str, str] = {}
        self.always: tuple[int, str] | None = None
        """Status and body of every answer, as of a proxy or an outage."""
        self.drips = False
        """Sends every answer without an end, a byte at a time."""
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and token of each request."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(*hub.answer("GET", self.path, self.headers.get("Authorization", "")))

            def do_HEAD(self) -> None:
                self._answer(*hub.answer("HEAD", self.path, self.headers.get("Authorization", "")))

            def _answer(self, status: int, body: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                length = {} if hub.drips else {"Content-Length": str(len(body))}
                for name, value in {**headers, **length}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body.encode())
                with suppress(OSError):
                    while hub.drips:
                        self.wfile.write(b" ")
                        time.sleep(0.01)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, authorization: str) -> tuple[int, str, dict[str, str]]:
        path, token = urlsplit(target).path, authorization.removeprefix("Bearer ")
        self.requests.append((method, path, token))
        if self.always is not None:
            return (*self.always, {})
        if token and token not in self.opens:
            return 401, json.dumps(INVALID), {}
        described = path.startswith("/api/models/")
        model = path.removeprefix("/api/models/") if described else path.partition("/resolve/")[0].strip("/")
        if model in self.renamed:
            return 307, "", {"Location": path.replace(model, self.renamed[model])}
        if model not in self.models:
            return 404 if token else 401, json.dumps(MISSING), {"X-Error-Code": "RepoNotFound"}
        gated = self.models[model]
        if described:
            return 200, json.dumps({"id": model, "gated": gated}), {}
        if gated and model not in self.opens.get(token, ()):
            return 403 if token else 401, "", {"X-Error-Code": "GatedRepo"}
        return 200, "{}", {}
