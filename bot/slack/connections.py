"""How Slack reaches the bot: Bolt's app, over Socket Mode or HTTP."""

import logging
from collections.abc import Callable

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from bot.slack.client import bolt_client
from bot.slack.failures import translated
from bot.slack.http_server import PATHS, serve_http
from bot.slack.lockout import Lockout
from bot.slack.payload import Malformed, checked
from bot.slack.sockets import Sockets

_LOG = logging.getLogger(__name__)

ENVELOPES_AT_ONCE = 64
"""Number of threads for envelopes. Each envelope is processed and acked in one thread."""


def app_of(token: str, api_url: str) -> App:
    """Return Bolt's app. It runs each listener in the thread of its envelope, so an ack waits for no other thread.

    Bolt calls auth.test. Raises SlackFailed.
    """
    framework = logging.getLogger("slack_bolt.App")
    framework.addFilter(_is_not_about_two_tokens)
    try:
        with translated("auth.test"):
            return App(
                client=bolt_client(token, api_url),
                process_before_response=True,
                raise_error_for_unhandled_request=True,
                attaching_conversation_kwargs_enabled=False,
            )
    finally:
        framework.removeFilter(_is_not_about_two_tokens)


def _is_not_about_two_tokens(record: logging.LogRecord) -> bool:
    """Bolt warns that the client's token takes precedence over the environment's. The two are equal."""
    return "`token` will be unused" not in record.getMessage()


def serve_sockets(app: App, app_token: str, lockout: Lockout) -> Callable[[], None]:
    """Start to receive over Socket Mode, and return a function that ends it. Raises SlackFailed."""
    client = Sockets(app_token, app.client, threads=ENVELOPES_AT_ONCE, lockout=lockout)
    _Handler(app, client)
    try:
        client.connect()
    except BaseException:
        client.hang_up()
        raise
    return client.hang_up


def serve_requests(app: App, signing_secret: str, port: int, host: str) -> Callable[[], None]:
    """Start to receive over HTTP, and return a function that ends it. Raises OSError if the port is in use."""
    server = serve_http(app, signing_secret, port, host=host)
    _LOG.info("listening on %s port %d, paths %s", host, server.server_port, ", ".join(PATHS))
    return server.close


class _Handler(SocketModeHandler):
    """Bolt's handler of envelopes, for a client that the caller provides."""

    def __init__(self, app: App, client: Sockets) -> None:
        self.app, self.client = app, client
        client.socket_mode_request_listeners.append(self.handle)  # type: ignore[arg-type] # as Bolt does

    def handle(self, client: SocketModeClient, req: SocketModeRequest) -> None:  # type: ignore[override] # as Bolt does
        """Ack a payload that cannot be read, without any effect: Slack would repeat it otherwise."""
        try:
            req.payload = checked(req.payload)
        except Malformed as malformed:
            _LOG.warning("a payload that cannot be read was ignored: %s", malformed)
            client.send_socket_mode_response(SocketModeResponse(envelope_id=req.envelope_id))
        else:
            super().handle(client, req)
