"""Calls to Compute Engine, without retries. Clients are created at first use, and again with newer credentials."""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from workers.clouds.driver import DriverError, NoAnswer
from workers.clouds.gcp.errors import NOT_FOUND, UNAUTHENTICATED, GcpError, from_sdk
from workers.machines import Unlisted

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ANSWERS_WITHIN = timedelta(seconds=30)  # timeout of a call
WAITS_WITHIN = timedelta(seconds=130)  # timeout of a wait, which the server answers after at most two minutes
DONE_WITHIN = timedelta(minutes=5)  # maximum wait for an operation
UNREACHABLE = "UNREACHABLE"
UNLISTED = "GCP could not list it"

logger = logging.getLogger(__name__)


class GcpClient:
    """One project's Compute Engine. `endpoint`: http address of a stand-in, which needs no credentials."""

    def __init__(self, project: str, endpoint: str | None = None) -> None:
        self.project = project
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._made_in = 0

    def call(self, client: str, method: str, /, within: timedelta = ANSWERS_WITHIN, **fields: Any) -> Any:
        """Make an HTTP call; returns a message of `google.cloud.compute_v1`. Raises GcpError, DriverError.

        If the credentials are refused, they are read again, and the call is made once more.
        """
        try:
            return self._called(client, method, within, fields)
        except GcpError as error:
            if error.status != UNAUTHENTICATED:
                raise
            logger.info("GCP refuses the credentials, which are read again: %s", error.text)
            self._clients = {}
        return self._called(client, method, within, fields)

    def _called(self, client: str, method: str, within: timedelta, fields: dict[str, Any]) -> Any:
        import requests  # noqa: PLC0415 - imported with the SDK, which takes seconds
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - as above
        from google.auth import exceptions as auth  # noqa: PLC0415 - as above

        request = {"project": self.project, **fields}
        try:
            return getattr(self._client(client), method)(request=request, retry=None, timeout=within.total_seconds())
        except GoogleAPICallError as error:
            raise from_sdk(self.project, error) from error
        except (auth.DefaultCredentialsError, auth.RefreshError) as error:
            raise GcpError(
                self.project, "authError", f"{error.args[0] if error.args else error}", UNAUTHENTICATED
            ) from error
        except (auth.GoogleAuthError, requests.RequestException, OSError) as error:
            raise NoAnswer(f"GCP gave no answer to {method.removesuffix('_unary')}: {error}") from error

    def call_if_found(self, client: str, method: str, **fields: Any) -> Any | None:
        """As `call`; None if the resource does not exist."""
        try:
            return self.call(client, method, **fields)
        except GcpError as error:
            if error.status != NOT_FOUND or error.code == "projectNotFound":
                raise
            return None

    def done(self, operation: Any) -> Any:
        """Wait until an operation is done and return it. Raises GcpError, DriverError."""
        scope = _scope_of(operation)
        client = f"{'Zone' if 'zone' in scope else 'Region' if 'region' in scope else 'Global'}OperationsClient"
        deadline = time.monotonic() + DONE_WITHIN.total_seconds()
        while operation.status.name != "DONE":
            if time.monotonic() > deadline:
                raise DriverError(f"GCP has not finished {operation.name} in {DONE_WITHIN}; it will be checked again.")
            operation = self.call(client, "wait", within=WAITS_WITHIN, operation=operation.name, **scope)
        return operation

    def rest(self, host: str, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of a GET to an API of Google that has no client here. Raises DriverError."""
        import requests  # noqa: PLC0415 - imported with the SDK, which takes seconds
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - as above

        try:
            with _session(self._endpoint) as session:
                url = f"{self._endpoint or host}{path}"
                answer = session.get(url, params=query, timeout=ANSWERS_WITHIN.total_seconds())
                return int(answer.status_code), bytes(answer.content)
        except (GoogleAuthError, requests.RequestException, OSError) as error:
            name = host.removeprefix("https://")
            raise DriverError(f"GCP gave no answer to {name}: {' '.join(str(error).split())}") from error

    def instances(self, filter_: str) -> Iterator[Any | Unlisted]:
        """The project's instances that match the filter, in all zones; then, what could not be listed.

        Raises DriverError if the list breaks off.
        """
        for page in self._pages("InstancesClient", "aggregated_list", filter=filter_):
            unreachable = {_place(scope): UNLISTED for scope in page.unreachables}
            for scope, scoped in page.items.items():
                yield from scoped.instances
                if scoped.warning.code == UNREACHABLE:
                    unreachable[_place(scope)] = scoped.warning.message or UNLISTED
            for place, why in unreachable.items():
                yield Unlisted(place=place, why=why)

    def instances_in(self, zone: str, filter_: str) -> Iterator[Any]:
        """The project's instances in a zone that match the filter. Raises DriverError if the list breaks off."""
        for page in self._pages("InstancesClient", "list", zone=zone, filter=filter_):
            yield from page.items

    def _pages(self, client: str, method: str, **fields: Any) -> Iterator[Any]:
        pages = iter(self.call(client, method, **fields).pages)
        while True:
            try:
                page = next(pages, None)
            except Exception as error:
                raise self._list_error(method, error) from error
            if page is None:
                return
            yield page

    def _list_error(self, method: str, error: Exception) -> DriverError:
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - imported by `call` already

        if isinstance(error, GoogleAPICallError):
            return from_sdk(self.project, error)
        return NoAnswer(f"The connection to GCP failed during {method}: {error}")

    def _client(self, name: str) -> Any:
        """A client of this process: one from before a fork would share its connections with the parent."""
        from google.cloud import compute_v1  # noqa: PLC0415 - takes seconds, too slow for every command

        if self._made_in != os.getpid():
            self._clients, self._made_in = {}, os.getpid()
        clients = self._clients  # another thread may drop them meanwhile
        if name not in clients:
            clients[name] = getattr(compute_v1, name)(**self._client_options())
        return clients[name]

    def _client_options(self) -> dict[str, Any]:
        if not self._endpoint:
            return {}
        from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - as above

        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call] # not typed in google.auth
        return {"credentials": anonymous, "client_options": {"api_endpoint": self._endpoint}}


def _place(scope: str) -> str:
    """The zone or region in a scope (`zones/us-central1-a`) or a URL; empty, for the whole cloud, if there is none."""
    found = re.search(r"(?:zones|regions)/([^/]+)", scope)
    return found[1] if found else ""


def _session(endpoint: str | None) -> Any:
    """HTTP with the credentials of the SDK; without credentials for a stand-in."""
    import google.auth  # noqa: PLC0415 - too slow for every command
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - as above
    from google.auth.transport.requests import AuthorizedSession  # noqa: PLC0415 - as above

    anonymous: Any = AnonymousCredentials  # the library's functions have no types
    session_of: Any = AuthorizedSession
    return session_of(anonymous() if endpoint else google.auth.default(scopes=[SCOPE])[0])


def _scope_of(operation: Any) -> dict[str, str]:
    places = {"zone": operation.zone, "region": operation.region}
    return {kind: url.rsplit("/", 1)[-1] for kind, url in places.items() if url}
