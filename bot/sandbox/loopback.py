"""Protects the sandbox from other hosts and from scripts of other sites."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class LoopbackOnly:
    """Refuses foreign Host headers (DNS rebinding) and foreign Origins (another site's scripts)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = refusal(Headers(scope=scope), scope.get("method", "GET"), scope["path"])
        if why is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        else:
            await PlainTextResponse(why, 403)(scope, receive, send)


def refusal(headers: Headers, method: str, path: str) -> str | None:
    """The reason why a request is refused, or None."""
    host = headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in LOOPBACK:
        return "This sandbox accepts loopback host names only.\n"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "This sandbox accepts no requests from other sites.\n"
    own = path.startswith(("/page/", "/sandbox/"))
    if own and method == "POST" and not headers.get("content-type", "").startswith("application/json"):
        return "This sandbox accepts application/json only.\n"
    return None


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_HEADERS]
        await send(message)

    return sent
