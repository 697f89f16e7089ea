"""Serves the app over HTTP, as the alternative to Socket Mode: one thread per request."""

import logging
import threading
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from slack_bolt import App
from slack_bolt.adapter.wsgi import SlackRequestHandler

_LOG = logging.getLogger(__name__)

PATH = "/slack/events"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(WSGIRequestHandler):
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the class above
        _LOG.debug(format, *args)


class HttpServer:
    """Serves `PATH` in its own thread until closed. Raises OSError if the port is in use."""

    def __init__(self, app: App, port: int) -> None:
        handler = SlackRequestHandler(app, path=PATH)
        self._server = make_server("0.0.0.0", port, handler, server_class=_Server, handler_class=_Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="http", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
