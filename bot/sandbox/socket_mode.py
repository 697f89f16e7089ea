"""Socket Mode: connections, envelopes and acks."""

import asyncio
import contextlib
import json
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.sandbox import limits, seed
from bot.sandbox.deliveries import Deliveries, NotConnected, Unacked
from bot.sandbox.faults import Faults, Kind
from bot.sandbox.limits import JSON

TICKET_SECONDS = 30


class Connection:
    """One WebSocket of the app."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.unacked: dict[str, asyncio.Future[JSON]] = {}
        self.is_replaced = False
        """Its end was announced. What was sent on it before may still be acked on another connection."""

    async def close(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # closed by the other side at the same time
            await self.socket.close(1001)


class SocketMode:
    """All connections of the app; envelopes go to them in rotation."""

    def __init__(
        self,
        faults: Faults,
        ack_within: float,
        deliveries: Deliveries,
        connections_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.deliveries = deliveries
        self.opened = 0
        """The number of connections that the app has opened so far."""
        self._faults = faults
        self._ack_within = ack_within
        self._changed = connections_changed
        self._tickets: dict[str, float] = {}
        self._connections: deque[Connection] = deque()
        self._unacked: dict[str, asyncio.Future[JSON]] = {}

    @property
    def connected(self) -> int:
        return len(self._connections)

    def new_ticket(self) -> str:
        """A ticket for one connection, valid for TICKET_SECONDS."""
        now = time.monotonic()
        self._tickets = {ticket: until for ticket, until in self._tickets.items() if until > now}
        ticket = str(uuid.uuid4())
        self._tickets[ticket] = now + TICKET_SECONDS
        return ticket

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until either side ends it."""
        if self._tickets.pop(socket.query_params.get("ticket", ""), 0) < time.monotonic():
            await socket.close(4001)
            return
        await socket.accept()
        if self.connected >= limits.CONNECTIONS:
            await socket.send_text(json.dumps({"type": "disconnect", "reason": "too_many_websockets"}))
            await socket.close(1000)
            return
        connection = Connection(socket)
        await socket.send_text(json.dumps(self._hello()))
        self._connections.append(connection)
        self.opened += 1
        self._changed()
        try:
            while True:
                self._receive(await socket.receive_text())
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._remove(connection)

    def _hello(self) -> JSON:
        return {
            "type": "hello",
            "num_connections": self.connected + 1,
            "debug_info": {
                "host": "applink-sandbox",
                "build_number": 1,
                "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": seed.APP_ID},
        }

    def _receive(self, text: str) -> None:
        """Apply an ack. Slack's own clients send it on their newest connection, not on that of the envelope."""
        try:
            message = json.loads(text)
        except ValueError:
            return
        envelope_id = message.get("envelope_id", "") if isinstance(message, dict) else ""
        acked = self._unacked.get(envelope_id)
        if acked is None or acked.done() or self._faults.take("socket", Kind.LOSE_ACK):
            return
        payload = message.get("payload")
        acked.set_result(payload if isinstance(payload, dict) else {})

    def _remove(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        for future in connection.unacked.values():
            if not future.done() and not connection.is_replaced:
                future.set_exception(Unacked("connection_failed"))
        self._changed()

    async def request(self, kind: str, payload: JSON) -> JSON:
        """Send a slash command or an interaction once; return the payload of its ack.

        Raises NotConnected if no connection is open. Raises Unacked if no ack came in time, or the connection ended.
        """
        envelope = {"type": kind, "payload": payload, "accepts_response_payload": True}
        return await self.deliveries.logged(kind, self._send(envelope))

    def send_event(self, payload: JSON) -> None:
        """Send an event in the background; if it is not acked within 3 s, it is repeated."""

        async def send(attempt: int, reason: str) -> None:
            envelope = {"type": "events_api", "payload": payload, "accepts_response_payload": False}
            await self._send(envelope | {"retry_attempt": attempt, "retry_reason": reason})

        self.deliveries.event(payload, send)

    async def _send(self, envelope: JSON) -> JSON:
        envelope_id = str(uuid.uuid4())
        text = json.dumps({"envelope_id": envelope_id, **envelope})
        connection = await self._send_text(envelope_id, text)
        try:
            async with asyncio.timeout(self._ack_within):
                return await connection.unacked[envelope_id]
        except TimeoutError:
            raise Unacked from None
        finally:
            del connection.unacked[envelope_id], self._unacked[envelope_id]

    async def _send_text(self, envelope_id: str, text: str) -> Connection:
        """Send the envelope on the next working connection. Raises NotConnected."""
        while self._connections:
            connection = self._connections[0]
            self._connections.rotate(-1)
            future = asyncio.get_running_loop().create_future()
            connection.unacked[envelope_id] = self._unacked[envelope_id] = future
            try:
                await connection.socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                del connection.unacked[envelope_id], self._unacked[envelope_id]
                self._remove(connection)
            else:
                return connection
        raise NotConnected

    async def drop(self, count: int) -> None:
        """End `count` connections without an announcement."""
        for connection in list(self._connections)[:count]:
            await connection.close()

    async def disconnect(self, count: int, reason: str, grace: float) -> None:
        """Announce the end of `count` connections, and end them after `grace` seconds, in which they still serve.

        `warning` and `refresh_requested` give the app time to open another connection; `link_disabled` gives none.
        """
        for connection in list(self._connections)[:count]:
            host = {"host": secrets.token_hex(4)}
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await connection.socket.send_text(
                    json.dumps({"type": "disconnect", "reason": reason, "debug_info": host})
                )
            connection.is_replaced = reason != "link_disabled"
            later = grace if connection.is_replaced else 0.0
            asyncio.get_running_loop().call_later(later, self.deliveries.in_background, connection.close)

    async def end(self) -> None:
        """Cancel all deliveries, and close all connections."""
        self.deliveries.end()
        for connection in list(self._connections):
            await connection.close()
