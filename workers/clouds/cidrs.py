"""PURE: who may reach a machine's port, as MIXTRAL_ALLOW_CIDRS says it."""

import ipaddress

CIDRS = "MIXTRAL_ALLOW_CIDRS"
CIDRS_MEND = (
    "Set MIXTRAL_GATEWAY_URL to the gateway's public address, which is admitted to the machines' ports; or set "
    f"{CIDRS} to all that are to be, for example {CIDRS}=203.0.113.7/32."
)


class CidrsError(ValueError):
    """MIXTRAL_ALLOW_CIDRS is missing, or cannot be used: the message is the reason."""


def cidrs(text: str) -> tuple[str, ...]:
    """The IPv4 networks of a comma list; clouds give their machines no other addresses. Raises CidrsError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise CidrsError(f"{CIDRS} is not set")
    networks = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise CidrsError(f'{CIDRS} has "{word}", which is no network such as 203.0.113.0/24') from None
    found = tuple(sorted({str(network) for network in networks if network.version == 4}))  # noqa: PLR2004 - IPv4
    if not found:
        raise CidrsError(f"{CIDRS} has no IPv4 network, and the machines have IPv4 addresses only")
    return found
