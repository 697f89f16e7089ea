"""Slack's Web API over HTTP: checks tokens, rates and faults, calls the method, and logs the call."""

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from bot.sandbox import rates, scopes, seed
from bot.sandbox.arguments import Arguments, read_arguments
from bot.sandbox.faults import Kind
from bot.sandbox.limits import JSON, SlackError
from bot.sandbox.methods import APP_LEVEL, METHODS
from bot.sandbox.stand_in import StandIn

_LOGGED_ARGUMENTS = ("parse", "link_names")
"""Arguments that are not visible in the message, and so are logged with the call."""

_KINDS = {seed.BOT_TOKEN: "bot", seed.APP_TOKEN: "app"}


class _Dropped(Response):
    """Ends the connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        connection: Any = receive
        connection.__self__.transport.abort()  # specific to uvicorn: ASGI has no way to abort
        await receive()  # returns when uvicorn has closed the connection


class WebApi:
    """`/api/METHOD`."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    def routes(self) -> list[Route]:
        return [Route("/api/{method}", self.call, methods=["GET", "POST"])]

    async def call(self, request: Request) -> Response:
        method: str = request.path_params["method"]
        started = time.monotonic()
        given: JSON = {}
        try:
            answer = {"ok": True, **await self._answer(method, request, given)}
            if self._stand_in.faults.take(method, Kind.LOSE_ANSWER, channel=_channel(given)):
                raise SlackError("internal_error", status=500)  # noqa: TRY301 - as any refusal
            status, headers = 200, self._scopes_of(method)
        except SlackError as refusal:
            answer, status, headers = refusal.answer(), refusal.status, self._scopes_of(method) | refusal.headers
        self._log(method, given, answer, status, time.monotonic() - started)
        if self._stand_in.faults.take(method, Kind.DROP_ANSWER, channel=_channel(given)):
            return _Dropped()
        return JSONResponse(answer, status, headers)

    async def _answer(self, method: str, request: Request, given: JSON) -> JSON:
        given |= await read_arguments(request)
        await self._apply_faults(method, _channel(given), _blocks(given))
        if method not in METHODS and method not in APP_LEVEL:
            raise SlackError("unknown_method", req_method=method)
        _check_token(method, _token(request, given))
        if self._stand_in.revoked and method != "api.test":
            raise SlackError(self._stand_in.revoked)
        arguments, named = Arguments(given), str(given.get("channel", ""))
        scopes.check(self._stand_in.scopes, method, arguments, self._stand_in.workspace.channel_named(named))
        self._stand_in.rates.spend(method, named)
        if method in APP_LEVEL:
            ticket = self._stand_in.sockets.new_ticket()
            return {"url": f"ws://{request.headers['host']}/link/?ticket={ticket}&app_id={seed.APP_ID}"}
        return METHODS[method](self._stand_in, arguments)

    def _scopes_of(self, method: str) -> JSON:
        """The headers with the token's scopes and those that the method accepts."""
        granted, accepted = sorted(self._stand_in.scopes), scopes.accepted(method)
        return {"x-oauth-scopes": ",".join(granted), "x-accepted-oauth-scopes": ",".join(accepted)}

    async def _apply_faults(self, method: str, channel: str, blocks: frozenset[str]) -> None:
        faults = self._stand_in.faults
        slow = faults.take(method, Kind.DELAY, channel=channel)
        if slow:
            await asyncio.sleep(slow.seconds)
        fault = faults.take(method, Kind.HTTP_500, Kind.RATE_LIMITED, Kind.REFUSE, channel=channel, blocks=blocks)
        if fault is None:
            return
        match fault.kind:
            case Kind.HTTP_500:
                raise SlackError("internal_error", status=500)
            case Kind.RATE_LIMITED:
                raise rates.rate_limited(fault.seconds)
            case _:
                raise SlackError(fault.error)

    def _log(self, method: str, given: JSON, answer: JSON, status: int, seconds: float) -> None:
        stand_in = self._stand_in
        stand_in.called += 1
        logged = {
            "n": stand_in.called,
            "at": stand_in.clock(),
            "method": method,
            "ok": answer["ok"],
            "status": status,
            "seconds": round(seconds, 6),
            **{name: given[name] for name in _LOGGED_ARGUMENTS if name in given},
        }
        stand_in.calls.append(logged | ({} if answer["ok"] else {"error": answer["error"]}))


def _channel(given: JSON) -> str:
    return str(given.get("channel") or given.get("channel_id") or "")


def _blocks(given: JSON) -> frozenset[str]:
    """The types of a message's blocks; none if they are malformed."""
    try:
        blocks = Arguments(given).json("blocks", "invalid_blocks_format")
        return frozenset(str(block.get("type")) for block in blocks or ())
    except (SlackError, AttributeError, TypeError):
        return frozenset()


def _token(request: Request, given: JSON) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else str(given.get("token") or "")


def _check_token(method: str, token: str) -> None:
    """Check that the token exists and that its kind fits the method.

    Raises SlackError: `not_authed`, `invalid_auth`, `not_allowed_token_type`.
    """
    if method == "api.test":
        return
    if not token:
        raise SlackError("not_authed")
    kind = _KINDS.get(token)
    if kind is None:
        raise SlackError("invalid_auth")
    if method != "auth.test" and (kind == "app") != (method in APP_LEVEL):
        raise SlackError("not_allowed_token_type")
