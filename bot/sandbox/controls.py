"""The routes for tests, at `/sandbox/*`: faults, actions of administrators, and the logs."""

from collections.abc import Callable, Iterable

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bot.sandbox.administration import Administration
from bot.sandbox.faults import Fault, Kind
from bot.sandbox.json_route import json_route
from bot.sandbox.limits import JSON
from bot.sandbox.stand_in import StandIn

_REASONS = {
    Kind.REFRESH_SOCKET: "refresh_requested",
    Kind.WARN_SOCKET: "warning",
    Kind.DISABLE_LINK: "link_disabled",
}


class Controls:
    """`/sandbox/*`."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._administration = Administration(stand_in)

    def routes(self) -> list[BaseRoute]:
        stand_in = self._stand_in
        acts = [
            Route(f"/sandbox/{act.__name__}", json_route(act), methods=["POST"]) for act in self._administration.acts
        ]
        return [
            *acts,
            Route("/sandbox/faults", json_route(self.arm), methods=["POST"]),
            Route("/sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/sandbox/event", json_route(self.event), methods=["POST"]),
            Route("/sandbox/calls", _log(lambda: stand_in.calls)),
            Route("/sandbox/acks", _log(lambda: stand_in.deliveries.acks)),
            Route("/sandbox/deliveries", _log(lambda: stand_in.deliveries.events)),
        ]

    async def arm(self, body: JSON) -> JSON:
        """Set a fault; faults of sockets happen immediately."""
        fault = msgspec.convert(body, Fault)
        match fault.kind:
            case Kind.DROP_SOCKET:
                await self._stand_in.sockets.drop(fault.count)
            case Kind.REFRESH_SOCKET | Kind.WARN_SOCKET | Kind.DISABLE_LINK:
                await self._stand_in.sockets.disconnect(fault.count, _REASONS[fault.kind], fault.seconds)
            case _:
                self._stand_in.faults.arm(fault)
        return {"ok": True}

    async def event(self, body: JSON) -> JSON:
        """Send the app an event that no action of a person causes, such as `app_uninstalled`."""
        self._stand_in.send_event(body)
        return {"ok": True}

    async def clear_faults(self, _: Request) -> Response:
        self._stand_in.faults.clear()
        return JSONResponse({"ok": True})


def _log(entries: Callable[[], Iterable[JSON]]) -> Callable[[Request], Response]:
    def route(_: Request) -> Response:
        return Response(msgspec.json.encode(list(entries())), media_type="application/json")

    return route
