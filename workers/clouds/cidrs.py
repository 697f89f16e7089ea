"""PURE: parses MIXTRAL_ALLOW_CIDRS, the networks that may reach a machine's port."""

import ipaddress

CIDRS = "MIXTRAL_ALLOW_CIDRS"
CIDRS_MEND = (
    "Set MIXTRAL_GATEWAY_URL to the gateway's public address, which may then reach the machines' ports; or set "
    f"{CIDRS} to the networks that may reach them, for example {CIDRS}=203.0.113.7/32."
)


class CidrsError(ValueError):
    """MIXTRAL_ALLOW_CIDRS is missing or invalid. The message is the reason, without a full stop."""


def cidrs(text: str) -> tuple[str, ...]:
    """The IPv4 networks of a comma-separated list: machines have IPv4 addresses only. Raises CidrsError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise CidrsError(f"{CIDRS} is not set")
    networks = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise CidrsError(f'{CIDRS} contains "{word}", which is not a network such as 203.0.113.0/24') from None
    found = tuple(sorted({str(network) for network in networks if network.version == 4}))  # noqa: PLR2004 - IPv4
    if not found:
        raise CidrsError(f"{CIDRS} contains no IPv4 network, and machines have IPv4 addresses only")
    return found
