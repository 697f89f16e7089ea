"""Who is admitted to a machine's port: the networks that were named, or else the gateway alone."""

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
    """The IPv4 networks of MIXTRAL_ALLOW_CIDRS; without it the public address of MIXTRAL_GATEWAY_URL.

    The workers probe the machines too: where they don't leave by the gateway's address, both have to be named.
    Raises CidrsError.
    """
    if named := environ.get(CIDRS, ""):
        return cidrs(named)
    host = urlsplit(environ.get(GATEWAY, "")).hostname
    if not host:
        raise CidrsError(f"{CIDRS} is not set, nor is {GATEWAY}, whose address would be admitted otherwise")
    try:
        addresses = list(resolve(host))
    except OSError as error:
        raise CidrsError(f"{CIDRS} is not set, and {host}, the host of {GATEWAY}, has no address") from error
    public = tuple(f"{address}/32" for address in addresses if ipaddress.ip_address(address).is_global)
    if not public:
        raise CidrsError(f"{CIDRS} is not set, and {host}, the host of {GATEWAY}, has no public address")
    return public
