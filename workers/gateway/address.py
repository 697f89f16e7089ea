"""Finds out what listens on the gateway's address: HAProxy would share it with another gateway without an error."""

import errno
import socket
import threading
import time
from datetime import timedelta

import httpx

from workers.gateway.config import INSTALLATION
from workers.gateway.errors import GatewayError
from workers.settings import GatewaySettings

FREE_WITHIN = timedelta(seconds=5)
"""Maximum time for which an HAProxy whose gateway died may still listen."""

LOOK_EVERY = 0.1
ANSWERED_WITHIN = 2.0


def wait_until_free(settings: GatewaySettings, installation: str, stop: threading.Event) -> None:
    """Return when nothing listens on the gateway's address, or `stop` is set. Raises GatewayError."""
    deadline = time.monotonic() + FREE_WITHIN.total_seconds()
    while is_taken(settings.bind) and not stop.wait(LOOK_EVERY):
        if time.monotonic() > deadline:
            raise in_use(settings, installation)


def in_use(settings: GatewaySettings, installation: str) -> GatewayError:
    """The error for an address on which something listens."""
    return GatewayError(
        f"{settings.bind} is in use by {_holder(settings, installation)}. Two gateways on one address would each get a "
        "part of the requests, and refuse the keys of the other. End it, or set MIXTRAL_GATEWAY_BIND to a free address."
    )


def is_taken(bind: str) -> bool:
    """Whether a socket listens on `host:port`. Every other error is left to HAProxy, which reports it."""
    host, port = _host_and_port(bind)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            # Ignores closed connections in TIME_WAIT. Without SO_REUSEPORT, a second listener is an error.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _holder(settings: GatewaySettings, installation: str) -> str:
    host, port = _host_and_port(settings.bind)
    reached = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"{'https' if settings.certificate else 'http'}://{f'[{reached}]' if ':' in reached else reached}:{port}"
    try:
        # Not verified: the certificate names the public address, and only the id of the installation is read.
        answer = httpx.get(f"{url}/health", timeout=ANSWERED_WITHIN, verify=False)  # noqa: S501 - see above
    except (httpx.HTTPError, OSError):
        return "another program"
    theirs = answer.headers.get(INSTALLATION)
    if theirs is None:
        return "another gateway" if answer.text.strip() == "ok" else "another program"
    return (
        f"another gateway of this installation, {theirs}"
        if theirs == installation
        else (f"the gateway of the installation {theirs}, and this is {installation or 'another one'}")
    )


def _host_and_port(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    return host.strip("[]").replace("*", ""), int(port)
