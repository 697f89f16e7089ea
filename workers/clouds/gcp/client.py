"""Calls to Compute Engine: clients made when first used, no hidden retries, errors in our own terms."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from workers.clouds.driver import DriverError
from workers.clouds.gcp.errors import NOT_FOUND, UNAUTHENTICATED, CloudSaid, from_sdk

ANSWERS_WITHIN = timedelta(seconds=30)
WAITS_WITHIN = timedelta(seconds=130)  # the server holds a wait for two minutes
DONE_WITHIN = timedelta(minutes=5)


class GcpClient:
    """One project's Compute Engine. `endpoint` is a stand-in's http address, which asks for no credentials."""

    def __init__(self, project: str, endpoint: str | None = None) -> None:
        self.project = project
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._made_in = 0

    def call(self, client: str, method: str, /, within: timedelta = ANSWERS_WITHIN, **fields: Any) -> Any:
        """One HTTP call; its answer is a message of `google.cloud.compute_v1`. Raises CloudSaid, DriverError."""
        import requests  # noqa: PLC0415 - with the SDK, which takes seconds to import
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - likewise
        from google.auth import exceptions as auth  # noqa: PLC0415 - likewise

        request = {"project": self.project, **fields}
        try:
            return getattr(self._client(client), method)(request=request, retry=None, timeout=within.total_seconds())
        except GoogleAPICallError as error:
            raise from_sdk(self.project, error) from error
        except (auth.DefaultCredentialsError, auth.RefreshError) as error:
            raise CloudSaid(
                self.project, "authError", f"{error.args[0] if error.args else error}", UNAUTHENTICATED
            ) from error
        except (auth.GoogleAuthError, requests.RequestException, OSError) as error:
            raise DriverError(f"GCP gave no answer to {method.removesuffix('_unary')}: {error}") from error

    def look(self, client: str, method: str, **fields: Any) -> Any | None:
        """As `call`; None for what is not there."""
        try:
            return self.call(client, method, **fields)
        except CloudSaid as said:
            if said.status != NOT_FOUND or said.code == "projectNotFound":
                raise
            return None

    def done(self, operation: Any) -> Any:
        """Wait for an operation's end and return it. Raises CloudSaid, DriverError."""
        where = _where(operation)
        client = f"{'Zone' if 'zone' in where else 'Region' if 'region' in where else 'Global'}OperationsClient"
        give_up_at = time.monotonic() + DONE_WITHIN.total_seconds()
        while operation.status.name != "DONE":
            if time.monotonic() > give_up_at:
                raise DriverError(
                    f"GCP has not finished {operation.name} in {DONE_WITHIN}; it is looked at again later."
                )
            operation = self.call(client, "wait", within=WAITS_WITHIN, operation=operation.name, **where)
        return operation

    def instances(self, filter_: str) -> Iterator[Any]:
        """Every instance of the project that the filter lets through, in all zones; all of them or an error."""
        for _, scoped in self._pages("InstancesClient", "aggregated_list", filter=filter_):
            yield from scoped.instances

    def _pages(self, client: str, method: str, **fields: Any) -> Iterator[Any]:
        pages = iter(self.call(client, method, **fields).pages)
        while True:
            try:
                page = next(pages, None)
            except Exception as error:
                raise self._broken_off(method, error) from error
            if page is None:
                return
            if page.unreachables:
                raise DriverError(f"GCP could not list {', '.join(page.unreachables)}; the list is not complete.")
            yield from page.items.items()

    def _broken_off(self, method: str, error: Exception) -> DriverError:
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - imported by `call` already

        if isinstance(error, GoogleAPICallError):
            return from_sdk(self.project, error)
        return DriverError(f"GCP broke off in {method}: {error}")

    def _client(self, name: str) -> Any:
        """A client of this process: one made before a fork would share its connections."""
        from google.cloud import compute_v1  # noqa: PLC0415 - takes seconds; only those who call GCP shall wait

        if self._made_in != os.getpid():
            self._clients, self._made_in = {}, os.getpid()
        if name not in self._clients:
            self._clients[name] = getattr(compute_v1, name)(**self._where_and_who())
        return self._clients[name]

    def _where_and_who(self) -> dict[str, Any]:
        if not self._endpoint:
            return {}
        from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - as the client

        nobody = AnonymousCredentials()  # type: ignore[no-untyped-call] # theirs
        return {"credentials": nobody, "client_options": {"api_endpoint": self._endpoint}}


def _where(operation: Any) -> dict[str, str]:
    places = {"zone": operation.zone, "region": operation.region}
    return {kind: url.rsplit("/", 1)[-1] for kind, url in places.items() if url}
