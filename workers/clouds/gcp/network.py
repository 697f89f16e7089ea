"""Firewall rules: one for each port of an installation's recipes."""

import threading
import time
from datetime import timedelta
from typing import Any

from workers.clouds.gcp.client import GcpClient
from workers.clouds.gcp.errors import CONFLICT, GcpError
from workers.clouds.gcp.instance import label_of

LOOK_AGAIN_AFTER = timedelta(minutes=10)
"""Time for which a rule is not checked again: users may change or delete it."""

NETWORK = "global/networks/default"


def rule_name(installation: str, port: int) -> str:
    """Name of the rule, and of the network tag of its machines."""
    return f"mixtral-{label_of(installation).replace('_', '-')[:48].strip('-')}-{port}"


class Firewall:
    """Creates and corrects firewall rules."""

    def __init__(self, api: GcpClient) -> None:
        self._api = api
        self._seen: dict[tuple[str, tuple[str, ...]], float] = {}
        self._lock = threading.Lock()

    def open(self, installation: str, port: int, sources: tuple[str, ...]) -> str:
        """Open `port` to `sources` only; returns the network tag for the machine. Raises GcpError, DriverError."""
        name = rule_name(installation, port)
        with self._lock:  # replicas that are requested at once share the calls
            seen = self._seen.get((name, sources))
            if seen is None or time.monotonic() - seen > LOOK_AGAIN_AFTER.total_seconds():
                self._open(name, port, sources)
                self._seen[name, sources] = time.monotonic()
        return name

    def _open(self, name: str, port: int, sources: tuple[str, ...]) -> None:
        wanted = {
            "name": name,
            "description": "Networks that may reach the models served by mixtral-bot (MIXTRAL_ALLOW_CIDRS).",
            "network": NETWORK,
            "direction": "INGRESS",
            "allowed": [{"I_p_protocol": "tcp", "ports": [str(port)]}],
            "source_ranges": list(sources),
            "target_tags": [name],
        }
        found = self._api.call_if_found("FirewallsClient", "get", firewall=name)
        if found is None:
            self._insert(wanted)
        elif set(found.source_ranges) != set(sources) or not _opens(found, port):
            patch = {key: wanted[key] for key in ("allowed", "source_ranges", "target_tags")}
            self._settle(self._api.call("FirewallsClient", "patch_unary", firewall=name, firewall_resource=patch))

    def _insert(self, wanted: dict[str, Any]) -> None:
        try:
            self._settle(self._api.call("FirewallsClient", "insert_unary", firewall_resource=wanted))
        except GcpError as error:
            if error.status != CONFLICT:  # another worker has created the same rule
                raise

    def _settle(self, operation: Any) -> None:
        operation = self._api.done(operation)
        for error in operation.error.errors:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise GcpError(self._api.project, error.code, error.message, operation.http_error_status_code)


def _opens(found: Any, port: int) -> bool:
    return [(allowed.I_p_protocol, list(allowed.ports)) for allowed in found.allowed] == [("tcp", [str(port)])]
