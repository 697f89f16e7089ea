"""The public address of this host, and whether machines would admit it."""

import ipaddress
from collections.abc import Mapping, Sequence
from functools import partial

import httpx

from workers.clouds.cidrs import CIDRS
from workers.clouds.findings import Finding
from workers.settings_table import DEFAULTS

EGRESS = "MIXTRAL_EGRESS_URL"
ANSWERS_WITHIN = 5.0  # seconds


def outside_address(environ: Mapping[str, str]) -> ipaddress.IPv4Address:
    """The IPv4 address from which this host reaches the internet. Raises httpx.HTTPError, ValueError with a clause."""
    url = environ.get(EGRESS) or DEFAULTS[EGRESS]
    answer = httpx.get(url, timeout=ANSWERS_WITHIN)
    if answer.status_code != httpx.codes.OK:
        raise ValueError(f"{url} answers with status {answer.status_code}")
    try:
        return ipaddress.IPv4Address(answer.text.strip())
    except ValueError as error:
        raise ValueError(f"{url} answers with something else than an IPv4 address") from error


def on_egress(environ: Mapping[str, str], allowed: Sequence[str]) -> Finding:
    """Whether machines would admit the probes of this host. `allowed`: the networks that may reach a machine's port."""
    finding = partial(Finding, about="settings", what="egress")
    try:
        address = outside_address(environ)
    except (httpx.HTTPError, ValueError) as error:
        says = f"the public address of this host could not be read: {' '.join(str(error).split())}"
        return finding(works=None, says=says, mend=f"set {EGRESS} to an address that returns it, or compare by hand")
    if any(address in ipaddress.IPv4Network(network) for network in allowed):
        return finding(works=True, says=f"this host reaches machines from {address}, which they admit")
    says = f"this host reaches machines from {address}, and they would admit {', '.join(allowed)} only"
    return finding(
        works=False, says=says, mend=f"add {address}/32 to {CIDRS}; it must also contain the workers' address"
    )
