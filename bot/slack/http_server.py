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


class HttpServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(WSGIRequestHandler):
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the class above
        _LOG.debug(format, *args)


def serve_http(app: App, port: int) -> HttpServer:
    """Serve `PATH` in its own thread until closed. Raises OSError if the port is in use."""
    handler = SlackRequestHandler(app, path=PATH)
    server = make_server("0.0.0.0", port, handler, server_class=HttpServer, handler_class=_Handler)
    threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True).start()
    return server
