"""The Slack stand-in as a server: `python -m bot.sandbox.server --port N`."""

import argparse
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from bot.sandbox.controls import Controls
from bot.sandbox.files import FileHost
from bot.sandbox.interactions import Interactions
from bot.sandbox.loopback import LoopbackOnly
from bot.sandbox.page_api import PageApi
from bot.sandbox.responses import ResponseRoutes
from bot.sandbox.seed import SEEDS
from bot.sandbox.stand_in import NOTICE, PAGE_DIR, Settings, StandIn
from bot.sandbox.web_api import WebApi

HOST = "127.0.0.1"


def build_app(settings: Settings, base_url: str) -> tuple[Starlette, PageApi]:
    """The application and its page; `base_url` is the address of both, without a trailing slash."""
    stand_in = StandIn(settings)
    host = FileHost(stand_in, base_url)
    page = PageApi(stand_in, Interactions(stand_in, base_url), host)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        yield
        await stand_in.sockets.end()
        if stand_in.http is not None:
            await stand_in.http.end()

    routes = [
        *WebApi(stand_in).routes(),
        *ResponseRoutes(stand_in).routes(),
        *page.routes(),
        *host.routes(),
        *Controls(stand_in).routes(),
        WebSocketRoute("/link/", stand_in.sockets.serve),
    ]
    return Starlette(routes=routes, middleware=[Middleware(LoopbackOnly)], lifespan=life), page


class _Server(uvicorn.Server):
    """Uvicorn that calls `listening` when it listens; its shutdown ends open event streams first."""

    def __init__(self, settings: Settings, port: int, listening: Callable[[], None]) -> None:
        self._listening = listening
        self.listener = _listen(port)
        self.url = f"http://{HOST}:{self.listener.getsockname()[1]}"
        app, self._page = build_app(settings, self.url)
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._page.end()
        await super().shutdown(sockets)


class Running:
    """A stand-in that runs in a thread of this process."""

    def __init__(self, settings: Settings, port: int) -> None:
        listening = threading.Event()
        self._server = server = _Server(settings, port, listening.set)
        self.url = server.url
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [server.listener]}, name="slack-stand-in", daemon=True
        )
        self._thread.start()
        listening.wait(timeout=10)

    @property
    def api_url(self) -> str:
        """The value for SLACK_API_URL."""
        return f"{self.url}/api/"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(settings: Settings | None = None, port: int = 0) -> Running:
    """Start a stand-in in a thread of this process, and return when it listens; port 0 is any free port."""
    return Running(settings or Settings(), port)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    return listener


def main() -> None:
    """Serve in the foreground until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free port")
    parser.add_argument("--notice", default=NOTICE, help="text at the top of the page")
    parser.add_argument("--page-dir", type=Path, default=PAGE_DIR, help="folder of the built page")
    parser.add_argument("--rate-scale", type=float, default=1.0, help="factor for Slack's rate limits; 0: no limits")
    parser.add_argument("--stream-life", type=float, default=300.0, help="maximum length of a stream, in seconds")
    parser.add_argument("--retry-scale", type=float, default=1.0, help="factor for the delays of repeated events")
    parser.add_argument("--streams-for-all", action="store_true", help="show streams in channels to everybody")
    parser.add_argument("--seed", choices=sorted(SEEDS), default="sandbox", help="the people and channels at first")
    given = parser.parse_args()
    settings = Settings(
        notice=given.notice,
        page_dir=given.page_dir,
        rate_scale=given.rate_scale,
        stream_life=timedelta(seconds=given.stream_life),
        contents=SEEDS[given.seed],
        retry_scale=given.retry_scale,
        streams_for_all=given.streams_for_all,
    )
    # Uvicorn shuts down and then raises the signal again. It must not end the process before the clean-up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = _Server(settings, given.port, lambda: print(f"Slack stand-in: {server.url}/", flush=True))  # noqa: T201 - callers wait for this line
    server.run(sockets=[server.listener])


if __name__ == "__main__":
    main()
