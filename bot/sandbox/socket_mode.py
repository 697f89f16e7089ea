"""Socket Mode: connections, envelopes, acks, and retries of events that are not acked."""

import asyncio
import contextlib
import json
import logging
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.sandbox import limits, seed
from bot.sandbox.faults import Faults, Kind
from bot.sandbox.limits import JSON

log = logging.getLogger(__name__)

TICKET_SECONDS = 30
EVENTS_WAITING = 1_000
ACKS_KEPT = 20_000


class Unacked(Exception):
    """The app did not ack the envelope in time."""


class NotConnected(Unacked):
    """The app has no connection open."""


class Connection:
    """One WebSocket of the app."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.unacked: dict[str, asyncio.Future[JSON]] = {}

    async def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # closed by the other side at the same time
            await self.socket.close(1001)


class SocketMode:
    """All connections of the app; envelopes go to them in rotation."""

    def __init__(
        self, faults: Faults, ack_within: float, connections_changed: Callable[[], None] = lambda: None
    ) -> None:
        self.acks: deque[JSON] = deque(maxlen=ACKS_KEPT)
        self._faults = faults
        self._ack_within = ack_within
        self._changed = connections_changed
        self._tickets: dict[str, float] = {}
        self._connections: deque[Connection] = deque()
        self._connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0

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
        self._connected.set()
        self._changed()
        try:
            while True:
                self._receive(connection, await socket.receive_text())
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

    def _receive(self, connection: Connection, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        envelope_id = message.get("envelope_id", "") if isinstance(message, dict) else ""
        acked = connection.unacked.get(envelope_id)
        if acked is None or acked.done() or self._faults.take("socket", Kind.LOSE_ACK):
            return
        payload = message.get("payload")
        acked.set_result(payload if isinstance(payload, dict) else {})

    def _remove(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        if not self._connections:
            self._connected.clear()
        for future in connection.unacked.values():
            if not future.done():
                future.set_exception(Unacked("connection closed"))
        self._changed()

    async def request(self, kind: str, payload: JSON) -> JSON:
        """Send a slash command or an interaction once; return the payload of its ack.

        Raises NotConnected if no connection is open. Raises Unacked if no ack came in time, or the connection ended.
        """
        started = time.monotonic()
        acked = False
        try:
            answer = await self._send({"type": kind, "payload": payload, "accepts_response_payload": True})
            acked = True
        finally:
            seconds = time.monotonic() - started
            self._sent += 1
            self.acks.append({"n": self._sent, "at": time.time(), "type": kind, "acked": acked, "seconds": seconds})
        return answer

    def send_event(self, payload: JSON) -> None:
        """Send an event in the background; if it is not acked within 3 s, repeat it, at most three times."""
        if len(self._tasks) >= EVENTS_WAITING:
            log.warning("an event is lost: %d events are waiting already", EVENTS_WAITING)
            return
        self._in_background(partial(self._deliver, payload))

    async def _deliver(self, payload: JSON) -> None:
        reason = ""
        for attempt in range(limits.EVENT_RETRIES + 1):
            envelope = {
                "type": "events_api",
                "payload": payload,
                "accepts_response_payload": False,
                "retry_attempt": attempt,
                "retry_reason": reason,
            }
            try:
                await self._connected.wait()
                await self._send(envelope)
            except NotConnected:  # the last connection ended in between
                reason = "connection_failed"
            except Unacked:
                reason = "timeout"
            else:
                return

    async def _send(self, envelope: JSON) -> JSON:
        envelope_id = str(uuid.uuid4())
        text = json.dumps({"envelope_id": envelope_id, **envelope})
        connection = await self._send_text(envelope_id, text)
        try:
            async with asyncio.timeout(self._ack_within):
                return await connection.unacked[envelope_id]
        except TimeoutError:
            raise Unacked("timeout") from None
        finally:
            del connection.unacked[envelope_id]

    async def _send_text(self, envelope_id: str, text: str) -> Connection:
        """Send the envelope on the next working connection. Raises NotConnected."""
        while self._connections:
            connection = self._connections[0]
            self._connections.rotate(-1)
            connection.unacked[envelope_id] = asyncio.get_running_loop().create_future()
            try:
                await connection.socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                del connection.unacked[envelope_id]
                self._remove(connection)
            else:
                return connection
        raise NotConnected("no connection")

    async def settle(self, seconds: float) -> None:
        """Wait until the events under way are acked, or until the time has passed."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def drop(self, count: int, *, announced: bool) -> None:
        """End `count` connections, if `announced` after a refresh_requested message."""
        for connection in list(self._connections)[:count]:
            if announced:
                bye = {
                    "type": "disconnect",
                    "reason": "refresh_requested",
                    "debug_info": {"host": secrets.token_hex(4)},
                }
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await connection.socket.send_text(json.dumps(bye))
                self._connections.remove(connection)
                asyncio.get_running_loop().call_later(1.0, self._in_background, connection.close)
            else:
                await connection.close()

    def _in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel all deliveries, and close all connections."""
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections):
            await connection.close()
