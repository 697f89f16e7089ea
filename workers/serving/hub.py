"""Asks the hub whether the weights of a model exist, and whether this installation may download them."""

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import quote

import httpx

from workers.serving.weights import HUB_TOKEN, Access, HubQuestion, Verdict, endpoint, verdict

WITHIN = timedelta(seconds=3)
"""Time for each of at most two requests, before a launch."""

MAX_BYTES = 10_000_000
"""Maximum size of a description; a hub that ignores `expand` also lists the files."""

DENIED = (401, 403)


def weights_of(question: HubQuestion, environ: Mapping[str, str]) -> Verdict:
    """Ask the hub; without a useful answer, nothing is refused. Raises nothing. Never logs the token."""
    hub = endpoint(environ)
    token = environ.get(HUB_TOKEN, "").strip()
    try:
        access, why = _access(hub, question.model, token)
    except httpx.TimeoutException:
        access, why = Access.UNKNOWN, f"gave no answer within {WITHIN.total_seconds():g} s"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # ValueError: a token that no header can hold
        access, why = Access.UNKNOWN, f"cannot be asked ({type(error).__name__})"
    return verdict(question, access, hub, why)


def _access(hub: str, model: str, token: str) -> tuple[Access, str]:
    """The access to a model; with UNKNOWN also the reason, as a clause. Raises httpx.HTTPError, ValueError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = quote(model, safe="/")
    with httpx.Client(headers=headers, timeout=WITHIN.total_seconds(), follow_redirects=True) as client:
        status, said = _asked(client, f"{hub}/api/models/{path}")
        if said is None or not (status == httpx.codes.OK or "error" in said):
            return Access.UNKNOWN, f"answers with status {status}, and not as a hub"  # a proxy, for example
        if status == httpx.codes.OK:
            return _opened(client, f"{hub}/{path}", token) if said.get("gated") else (Access.OPEN, "")
    # Without a token the hub answers 401 also for a model that does not exist.
    if status == httpx.codes.UNAUTHORIZED:
        return (Access.BAD_TOKEN if token else Access.MISSING), ""
    if status == httpx.codes.NOT_FOUND:
        return Access.MISSING, ""
    if status == httpx.codes.FORBIDDEN:
        return (Access.CLOSED if token else Access.GATED), ""
    return Access.UNKNOWN, f"answers with status {status}"


def _opened(client: httpx.Client, model: str, token: str) -> tuple[Access, str]:
    """Whether a token opens a gated model: its files are checked, because the description is public."""
    if not token:
        return Access.GATED, ""
    answer = client.head(f"{model}/resolve/main/config.json", follow_redirects=False)
    if answer.status_code not in DENIED:
        return Access.OPEN, ""  # also 404: a model need not have this file
    if answer.headers.get("X-Error-Code") or answer.status_code == httpx.codes.FORBIDDEN:
        return Access.CLOSED, ""
    return Access.BAD_TOKEN, ""


def _asked(client: httpx.Client, url: str) -> tuple[int, dict[str, object] | None]:
    """The status and the JSON object of an answer, None for any other body. Raises httpx.HTTPError."""
    until = time.monotonic() + WITHIN.total_seconds()
    body = b""
    with client.stream("GET", url, params={"expand[]": "gated"}) as answer:
        for part in answer.iter_bytes():
            body += part
            if time.monotonic() > until or len(body) > MAX_BYTES:  # the client's own timeout applies to each read
                raise httpx.ReadTimeout("")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return answer.status_code, None
    return answer.status_code, said if isinstance(said, dict) else None
