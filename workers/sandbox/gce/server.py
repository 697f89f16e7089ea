"""A stand-in for Compute Engine's REST API: `python -m workers.sandbox.gce.server --port N --folder DIR`."""

import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from workers.sandbox.gce.ageing import Ageing
from workers.sandbox.gce.catalog import Catalog
from workers.sandbox.gce.cloud import Cloud
from workers.sandbox.gce.faults import ApiError
from workers.sandbox.gce.methods import Call, Gce
from workers.sandbox.stand_in import Clock, Machines, main, utc_now

PROJECT = r"/compute/v1/projects/(?P<project>[^/]+)"
IN_ZONE = PROJECT + r"/zones/(?P<zone>[^/]+)"
NAME = r"(?P<name>[^/]+)"

ROUTES = tuple(
    (verb, re.compile(path), method)
    for verb, path, method in (
        ("GET", PROJECT, "projects.get"),
        ("GET", PROJECT + "/aggregated/instances", "instances.aggregatedList"),
        ("GET", IN_ZONE + "/instances", "instances.list"),
        ("POST", IN_ZONE + "/instances", "instances.insert"),
        ("GET", IN_ZONE + f"/instances/{NAME}", "instances.get"),
        ("DELETE", IN_ZONE + f"/instances/{NAME}", "instances.delete"),
        ("GET", IN_ZONE + f"/instances/{NAME}/serialPort", "instances.getSerialPortOutput"),
        ("POST", IN_ZONE + f"/instances/{NAME}/setLabels", "instances.setLabels"),
        ("POST", IN_ZONE + f"/instances/{NAME}/setMetadata", "instances.setMetadata"),
        ("POST", PROJECT + r"/regions/(?P<region>[^/]+)/instances/bulkInsert", "regionInstances.bulkInsert"),
        ("GET", PROJECT + r"/(?P<place>global|zones/[^/]+|regions/[^/]+)/operations", "operations.list"),
        ("GET", PROJECT + rf"/(?:global|zones/[^/]+|regions/[^/]+)/operations/{NAME}", "operations.get"),
        ("POST", PROJECT + rf"/(?:global|zones/[^/]+|regions/[^/]+)/operations/{NAME}/wait", "operations.wait"),
        ("GET", PROJECT + "/global/firewalls", "firewalls.list"),
        ("POST", PROJECT + "/global/firewalls", "firewalls.insert"),
        ("GET", PROJECT + f"/global/firewalls/{NAME}", "firewalls.get"),
        ("PATCH", PROJECT + f"/global/firewalls/{NAME}", "firewalls.patch"),
        ("GET", PROJECT + f"/global/images/family/{NAME}", "images.getFromFamily"),
        ("GET", PROJECT + f"/global/images/{NAME}", "images.get"),
        ("GET", PROJECT + "/global/networks/default", "networks.get"),
        ("GET", PROJECT + r"/regions/(?P<region>[^/]+)/subnetworks/default", "subnetworks.get"),
        ("GET", PROJECT + "/zones", "zones.list"),
        ("GET", PROJECT + "/regions", "regions.list"),
        ("GET", PROJECT + f"/regions/{NAME}", "regions.get"),
        ("GET", PROJECT + "/aggregated/machineTypes", "machineTypes.aggregatedList"),
        ("GET", r"/v1/services/(?P<service>[^/]+)/skus", "services.skus.list"),
        ("GET", IN_ZONE + "/machineTypes", "machineTypes.list"),
        ("GET", IN_ZONE + f"/machineTypes/{NAME}", "machineTypes.get"),
        ("GET", "/sandbox/calls", "sandbox.calls"),
        ("DELETE", "/sandbox/calls", "sandbox.forget"),
        ("POST", "/sandbox/faults", "sandbox.fault"),
        ("DELETE", "/sandbox/faults", "sandbox.mend"),
        ("POST", "/sandbox/quotas", "sandbox.quota"),
        ("POST", rf"/sandbox/instances/{NAME}/(?P<fate>preempt|delete)", "sandbox.end"),
    )
)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body's packet waits 40 ms for the header's ACK
    gce: ClassVar[Gce]

    def handle_one(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, method = 200, ""
        try:
            method, path = _route(self.command, url.path)
            with_body = json.loads(sent) if sent else {}
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = self.gce.answer(Call(method, path, query, with_body, token))
        except ApiError as error:
            status, answer = error.status, error.body()
        except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
            wrong = ApiError(400, "badRequest", f"{type(error).__name__}: {error}")
            status, answer = 400, wrong.body()
        with self.gce.cloud.changed:
            body = json.dumps(answer).encode()  # under the lock, since other threads change it
        if not method.startswith("sandbox.") and self.gce.loses(method):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = handle_one  # noqa: N815 - http.server requires these names

    def log_message(self, *_args: Any) -> None:
        pass


def _route(verb: str, path: str) -> tuple[str, dict[str, str]]:
    for wanted, pattern, method in ROUTES:
        if wanted == verb and (found := pattern.fullmatch(path)):
            return method, found.groupdict()
    raise ApiError(404, "notFound", f"The stand-in has no {verb} {path}.")


class Server(ThreadingHTTPServer):
    """Listens on loopback only."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, machines: Machines, catalog: Catalog | None = None, *, clock: Clock = utc_now
    ) -> None:
        super().__init__(("127.0.0.1", port), type("BoundHandler", (Handler,), {}))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.cloud = Cloud(machines, catalog or Catalog(), self.url, clock=clock)
        self._closed = threading.Event()
        threading.Thread(target=Ageing(self.cloud).run, args=(self._closed,), daemon=True).start()
        self.RequestHandlerClass.gce = Gce(self.cloud)  # type: ignore[attr-defined]

    def server_close(self) -> None:
        self._closed.set()
        super().server_close()


if __name__ == "__main__":
    main("GCE", Server)
