"""The bot's connections, each with the patience that its use allows."""

import contextlib
import logging
import socket
from collections.abc import Callable

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler
from slack_sdk.socket_mode.builtin import SocketModeClient

from bot.http_server import PATH, HttpServer
from bot.settings import BotSettings

_LOG = logging.getLogger(__name__)

ENVELOPES_AT_ONCE = 64
"""Each is answered and acked by the thread that took it."""

PING_EVERY = 2.0
"""Seconds: a connection that died without a word is replaced after a few of them."""

ANSWERS_WITHIN = 0.7
"""Seconds that Redis may take for one answer that a person waits for. A frozen one is waited for three times in a call
(the call, and the handshake of its repetition, which is repeated too): together less than Slack's three seconds."""


def client_of(settings: BotSettings) -> WebClient:
    """Slack's Web API, for calls that nobody waits for: they sleep through a 429 and go on."""
    retries = [ConnectionErrorRetryHandler(max_retry_count=2), RateLimitErrorRetryHandler(max_retry_count=3)]
    return WebClient(settings.bot_token, base_url=settings.api_url, timeout=15, retry_handlers=retries)


def quick_redis(url: str) -> Redis:
    """A Redis for what a person waits for: they get a sentence before Slack gives up on the command."""
    return Redis.from_url(
        url,
        socket_timeout=ANSWERS_WITHIN,
        socket_connect_timeout=ANSWERS_WITHIN,
        retry=Retry(ConstantBackoff(0.05), 1),
        health_check_interval=30,
    )


def app_of(settings: BotSettings, client: WebClient) -> App:
    """Bolt, told to run listeners where their envelopes come in: an ack waits for no other thread."""
    framework = logging.getLogger("slack_bolt.App")
    level = framework.level
    framework.setLevel(logging.ERROR)  # it warns that the client's token goes before the same one in the environment
    try:
        return App(
            client=client,
            signing_secret=settings.signing_secret or "",
            process_before_response=True,
            raise_error_for_unhandled_request=True,
            attaching_conversation_kwargs_enabled=False,
        )
    finally:
        framework.setLevel(level)


def serve(app: App, settings: BotSettings) -> Callable[[], None]:
    """Begin to take what Slack tells, and return how to end it. Raises SlackApiError, SlackClientError, OSError."""
    if settings.app_token is None:
        server = HttpServer(app, settings.port)
        server.start()
        _LOG.info("listening on port %d, path %s", server.port, PATH)
        return server.close
    handler = SocketModeHandler(
        app,
        settings.app_token,
        concurrency=ENVELOPES_AT_ONCE,
        ping_interval=PING_EVERY,
        receive_buffer_size=65_536,
    )
    handler.client.on_close_listeners.append(lambda *_: _reconnect(handler.client))
    try:
        handler.connect()  # type: ignore[no-untyped-call] # Bolt's own
    except BaseException:
        _close(handler.client)
        raise
    return lambda: _close(handler.client)


def _reconnect(client: SocketModeClient) -> None:
    """Slack closed a socket: open the next one now. The client by itself waits for its next look at the old one."""
    if not client.auto_reconnect_enabled:
        return
    try:
        client.connect_to_new_endpoint(force=True)
    except (SlackClientError, OSError) as error:
        _LOG.warning("The socket to Slack cannot be opened anew, trying again in a moment: %s", error)


def _close(client: SocketModeClient) -> None:
    """Finish and ack what has come in, then leave. The client's own close waits for seconds at a silent socket."""
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
