"""The networks that may reach a machine's port: the configured ones, or only the gateway."""

import ipaddress
import socket
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from workers.clouds.cidrs import CIDRS, CidrsError, cidrs

GATEWAY = "MIXTRAL_GATEWAY_URL"

Resolve = Callable[[str], Iterable[str]]
"""A host's IPv4 addresses. Raises OSError."""


def resolved(host: str) -> list[str]:
    return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)})


def admitted(environ: Mapping[str, str], resolve: Resolve = resolved) -> tuple[str, ...]:
    """The IPv4 networks of MIXTRAL_ALLOW_CIDRS or, if it is not set, the public addresses of MIXTRAL_GATEWAY_URL.

    Workers probe the machines too: if their address is not the gateway's, MIXTRAL_ALLOW_CIDRS must contain both.
    Raises CidrsError.
    """
    if named := environ.get(CIDRS, ""):
        return cidrs(named)
    host = urlsplit(environ.get(GATEWAY, "")).hostname
    if not host:
        raise CidrsError(f"{CIDRS} is not set, and neither is {GATEWAY}")
    try:
        addresses = list(resolve(host))
    except OSError as error:
        raise CidrsError(f"{CIDRS} is not set, and {host}, the host of {GATEWAY}, has no address") from error
    public = tuple(f"{address}/32" for address in addresses if ipaddress.ip_address(address).is_global)
    if not public:
        raise CidrsError(f"{CIDRS} is not set, and {host}, the host of {GATEWAY}, has no public address")
    return public
