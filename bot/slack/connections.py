"""How Slack reaches the bot: Bolt's app, over Socket Mode or HTTP."""

import contextlib
import logging
import socket
from collections.abc import Callable

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient

from bot.slack.client import bolt_client
from bot.slack.failures import translated
from bot.slack.http_server import PATH, serve_http

_LOG = logging.getLogger(__name__)

ENVELOPES_AT_ONCE = 64
"""Number of threads for envelopes. Each envelope is processed and acked in one thread."""

PING_EVERY = 2.0
"""Seconds between two pings. A connection that misses a few of them is replaced."""


def app_of(token: str, api_url: str, signing_secret: str | None) -> App:
    """Return Bolt's app. It runs each listener in the thread of its envelope, so an ack waits for no other thread."""
    framework = logging.getLogger("slack_bolt.App")
    level = framework.level
    framework.setLevel(
        logging.ERROR
    )  # suppresses a warning that the client's token takes precedence over the environment's, which is equal
    try:
        return App(
            client=bolt_client(token, api_url),
            signing_secret=signing_secret or "",
            process_before_response=True,
            raise_error_for_unhandled_request=True,
            attaching_conversation_kwargs_enabled=False,
        )
    finally:
        framework.setLevel(level)


def serve(app: App, app_token: str | None, port: int) -> Callable[[], None]:
    """Start to receive from Slack, and return a function that ends it.

    Socket Mode if there is an `app_token` (raises SlackFailed), else HTTP (raises OSError if the port is in use).
    """
    if app_token is None:
        server = serve_http(app, port)
        _LOG.info("listening on port %d, path %s", server.server_port, PATH)
        return server.close
    handler = SocketModeHandler(
        app,
        app_token,
        concurrency=ENVELOPES_AT_ONCE,
        ping_interval=PING_EVERY,
        receive_buffer_size=65_536,
    )
    handler.client.on_close_listeners.append(lambda *_: _reconnect(handler.client))
    try:
        with translated("apps.connections.open"):
            handler.connect()  # type: ignore[no-untyped-call] # Bolt's own
    except BaseException:
        _close(handler.client)
        raise
    return lambda: _close(handler.client)


def _reconnect(client: SocketModeClient) -> None:
    """Open a new socket immediately. The client itself would wait until its next check of the old one."""
    if not client.auto_reconnect_enabled:
        return
    try:
        client.connect_to_new_endpoint(force=True)
    except (SlackClientError, OSError) as error:
        _LOG.warning("The socket to Slack could not be reopened; retrying: %s", error)


def _close(client: SocketModeClient) -> None:
    """Process and ack received envelopes, then close. The client's own close waits seconds for an idle socket."""
    client.closed = True
    client.auto_reconnect_enabled = False
    client.message_workers.shutdown()
    client.current_session_state.terminated = True
    session = client.current_session
    if session is not None and session.sock is not None:
        with contextlib.suppress(OSError):
            session.sock.shutdown(socket.SHUT_RDWR)  # wakes its reader
    client.disconnect()
    for runner in (client.current_session_runner, client.current_app_monitor, client.message_processor):
        runner.event.set()
