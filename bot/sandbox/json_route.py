"""Routes that take a JSON object and return another."""

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.sandbox.limits import JSON


class PageError(Exception):
    """A request of the page is invalid; the message contains the reason."""


def json_route(act: Callable[[JSON], Awaitable[JSON]]) -> Callable[[Request], Awaitable[Response]]:
    """A route that passes the JSON body to `act` and returns its result; status 400 for an invalid request."""

    async def route(request: Request) -> Response:
        try:
            return JSONResponse(await act(_object(await request.body())))
        except KeyError as missing:
            return JSONResponse({"ok": False, "error": f"missing field: {missing}"}, 400)
        except (ValueError, PageError) as wrong:
            return JSONResponse({"ok": False, "error": str(wrong)}, 400)

    return route


def _object(body: bytes) -> JSON:
    decoded = json.loads(body or b"{}")
    if not isinstance(decoded, dict):
        raise PageError("the body must be a JSON object")
    return decoded
