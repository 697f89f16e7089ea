"""The socket of Socket Mode: replaced once when it ends, and at growing intervals if Slack refuses it."""

import contextlib
import json
import logging
import socket
import threading
import time
from typing import Any, cast

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientNotConnectedError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState

from bot.slack.client import socket_url
from bot.slack.failures import SlackAway, SlackFailed, SlackRefused
from bot.slack.lockout import APP_TOKEN, CAUSES, Lockout

_LOG = logging.getLogger(__name__)
_SDK = logging.getLogger(f"{__name__}.sdk")
_SDK.setLevel(logging.CRITICAL)  # it logs each attempt; this module logs each cause once

PING_EVERY = 2.0
"""Interval between two pings, in seconds. A connection that does not answer several of them is replaced."""
PROVEN_AFTER = 10.0
"""Age in seconds from which a socket counts as accepted, so that its successor is opened without a pause."""
PAUSE_LIMIT = 15.0
"""Maximum pause before the next attempt, in seconds; the pauses are 1, 2, 4 … seconds."""
LEAVES_WITHIN = 30.0
"""Time in seconds that a replaced socket is still read. Slack closes it before."""
SENT_WITHIN = 0.5
"""Maximum time in seconds that an ack waits for the next socket, if its own has just ended."""
_BRIEF = 1000
"""Maximum length of a message about the socket itself. Envelopes are longer, and are not parsed twice."""

REASONS = {
    "too_many_websockets": "10 sockets of this app are open, which is Slack's limit. "
    "End other processes of the bot that use this app",
    "link_disabled": "Socket Mode is off in the app's settings. Turn it on, or unset SLACK_APP_TOKEN to use HTTP",
}
"""Cause and mend by the reason with which Slack ends a socket. The others, such as `refresh_requested`, are routine."""


class Sockets(SocketModeClient):
    """Bolt's client, which opens exactly one socket for each one that ends. The SDK's own client can open two.

    A socket that Slack asks to replace is read until Slack closes it: what arrives on it meanwhile is not lost. Each
    socket has a thread that reads it; the SDK's runner, which calls `_run_current_session`, opens the next one.
    """

    def __init__(self, app_token: str, web_client: WebClient, *, threads: int, lockout: Lockout) -> None:
        """`threads`: number of threads for envelopes."""
        self._lockout = lockout
        self._open: dict[Connection, ConnectionState] = {}
        self._leaving: dict[Connection, float] = {}
        """Sockets that Slack will close, with the time until which they are read."""
        self._opened_at = 0.0
        self._failures = 0
        self._not_before = 0.0
        self._said = ""
        self.closed = False  # read by the runner, which starts before the SDK sets it
        super().__init__(
            app_token,
            web_client=web_client,
            logger=logging.getLogger("slack_bolt.App"),
            auto_reconnect_enabled=False,  # it would log each try; `_run_current_session` opens the next socket
            ping_interval=PING_EVERY,
            concurrency=threads,
            receive_buffer_size=65_536,
        )

    def connect(self) -> None:
        """Open a socket, and make it the current one. Raises SlackRefused, SlackBusy, SlackAway."""
        errors: list[Exception] = []
        fresh = Connection(
            url=socket_url(self.web_client, self.app_token),
            logger=_SDK,
            ping_interval=self.ping_interval,
            receive_buffer_size=self.receive_buffer_size,
            proxy=self.proxy,
            proxy_headers=self.proxy_headers,
            on_message_listener=lambda message: self._receive(fresh, message),
            on_error_listener=lambda error: errors.append(error) if not errors else None,
            ssl_context=self.web_client.ssl,
        )
        fresh.connect()
        if not fresh.is_active():
            raise SlackAway(f"The socket to Slack could not be opened ({errors[0] if errors else 'no answer'}).")
        fresh.sock = cast("Any", _EndsAtOnce(fresh.sock))
        state = self._open[fresh] = ConnectionState()  # type: ignore[no-untyped-call] # the SDK's own
        self.current_session, self.current_session_state = fresh, state
        self._opened_at = time.monotonic()
        _LOG.info("a socket to Slack is open")
        threading.Thread(target=self._read, args=(fresh, state), name="socket", daemon=True).start()
        if not self.current_app_monitor_started:
            self.current_app_monitor_started = True
            self.current_app_monitor.start()

    def send_message(self, message: str) -> None:
        """Send an ack on the current socket. Slack accepts it on any; it repeats an envelope whose ack is not sent."""
        until = time.monotonic() + SENT_WITHIN
        while True:
            try:
                self.current_session.send(message)  # type: ignore[union-attr] # one is open before an envelope comes
            except SlackClientNotConnectedError:
                if self.closed or time.monotonic() > until:
                    _LOG.info("an ack was not sent, because no socket to Slack is open")
                    return
                time.sleep(0.05)
            else:
                return

    def hang_up(self) -> None:
        """Process and ack received envelopes, then close all sockets. The SDK's own close waits for idle sockets."""
        self.closed = True
        self.message_workers.shutdown()
        for session in list(self._open):
            self._end(session)
        for runner in (self.current_session_runner, self.current_app_monitor, self.message_processor):
            runner.event.set()

    def process_message(self) -> None:
        """Drop envelopes that arrive after `hang_up`. They are not acked, so that Slack sends them again."""
        try:
            super().process_message()  # type: ignore[no-untyped-call] # the SDK's own
        except RuntimeError:  # its threads are shut down
            if not self.closed:
                raise

    def connect_to_new_endpoint(self, force: bool = False) -> None:
        """Do nothing: `_run_current_session` opens the next socket, for every cause."""

    def _run_current_session(self) -> None:
        """Open a socket if the current one has ended or is about to. The SDK's runner calls this ten times a second."""
        now = time.monotonic()
        for session in list(self._open):
            overdue = self._leaving.get(session, now) < now and session is not self.current_session
            if overdue or not session.is_active():  # the SDK's monitor closes a socket that answers no ping
                self._end(session)
        if self.closed or self.current_session is None:
            return
        if self.is_connected() and self.current_session not in self._leaving:
            if now - self._opened_at > PROVEN_AFTER:
                self._failures, self._said = 0, ""
        elif now >= self._not_before:
            self._reopen()

    def _reopen(self) -> None:
        self._not_before = time.monotonic() + self._pause()
        self._failures += 1
        try:
            self.connect()
        except SlackFailed as failed:
            if isinstance(failed, SlackRefused) and failed.code in CAUSES:
                self._lockout.begin(failed.code, APP_TOKEN)
            self._say(f"{failed} Trying again.")
        except Exception as error:  # noqa: BLE001 - without the runner's thread no socket is opened any more
            self._say(f"The socket to Slack could not be opened ({type(error).__name__}: {error}). Trying again.")

    def _pause(self) -> float:
        return min(2.0 ** min(self._failures, 10), PAUSE_LIMIT)

    def _read(self, session: Connection, state: ConnectionState) -> None:
        """Read a socket until it ends."""
        try:
            session.run_until_completion(state)
        except Exception as error:  # noqa: BLE001 - another socket is opened
            _LOG.info("a socket ended: %s", error)
        self._end(session)

    def _receive(self, session: Connection, message: str) -> None:
        reason = _reason(message) if len(message) < _BRIEF else None
        if reason is None:
            self.enqueue_message(message)
            return
        self._leaving[session] = time.monotonic() + LEAVES_WITHIN
        if reason in REASONS:
            self._failures = max(self._failures, 1)
            self._not_before = max(self._not_before, time.monotonic() + self._pause())
            self._say(f"Slack ends the socket ({reason}): {REASONS[reason]}. Trying again.")

    def _end(self, session: Connection) -> None:
        state = self._open.pop(session, None)
        self._leaving.pop(session, None)
        if state is not None:
            state.terminated = True
            with contextlib.suppress(OSError, AttributeError):  # the thread that reads it has closed it meanwhile
                session.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr] # wakes that thread
            with contextlib.suppress(AttributeError):
                session.disconnect()

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            _LOG.warning("%s", sentence)
        self._said = sentence


class _EndsAtOnce:
    """A socket whose end is an error. The SDK reads an ended one in a loop, until pings fail ten seconds later."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def recv(self, size: int) -> bytes:
        received: bytes = self._sock.recv(size)
        if not received:
            raise ConnectionResetError("the connection was closed")
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _reason(message: str) -> str | None:
    """Return the reason of a message that announces the end of the socket; None for others."""
    try:
        content: Any = json.loads(message)
    except ValueError:
        return None
    announces = isinstance(content, dict) and content.get("type") == "disconnect"
    return str(content.get("reason") or "") if announces else None
