"""The real GCP driver on the Compute Engine stand-in. Its machines are addresses without an engine."""

import threading
import time
from pathlib import Path
from typing import Any

from tests import loopback
from tests.fakes.machines import FakeMachines
from workers.clouds.gcp.driver import GcpDriver
from workers.clouds.gcp.instance import name_of
from workers.machines import Token
from workers.placement import catalog
from workers.placement.offer import Offer
from workers.sandbox.gce.server import Server
from workers.sandbox.stand_in import Machines

PROJECT = "a-project"


class GcpCloud:
    """A stand-in in this process, on a free port."""

    def __init__(self, _folder: Path | None = None, *, machines: Machines | None = None, **environ: str) -> None:
        import google.cloud.compute_v1  # noqa: F401, PLC0415 - slow import, not the cloud's time

        self.machines = FakeMachines()
        self.server = Server(0, machines or self.machines)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.environ = {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "MIXTRAL_GCE_ENDPOINT": self.server.url,
            "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
        } | environ
        self.driver = GcpDriver(self.environ)

    def offers(self) -> tuple[Offer, ...]:
        return tuple(o for o in catalog.load() if o.cloud == "gcp" and o.zone and o.usd_per_hour and not o.spot)

    def again(self) -> GcpDriver:
        """A driver as another process would create it."""
        return GcpDriver(self.environ)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def break_machine(self, token: Token) -> None:
        self.machines.kill(self._id(token))

    def printed(self, token: Token) -> None:
        self.machines.consoles[self._id(token)] += [f"line {n}" for n in range(30)]

    def _id(self, token: Token) -> str:
        return next(one for one in self.machines.booted if one.startswith(f"{name_of(token)}-"))

    def fault(self, code: str, **about: Any) -> None:
        loopback.post(f"{self.server.url}/sandbox/faults", json={"code": code, **about}).raise_for_status()

    def mend(self) -> None:
        loopback.delete(f"{self.server.url}/sandbox/faults").raise_for_status()

    def quota(self, metric: str, limit: float, region: str = "*") -> None:
        body = {"metric": metric, "limit": limit, "region": region}
        loopback.post(f"{self.server.url}/sandbox/quotas", json=body).raise_for_status()

    def end(self, token: Token, fate: str) -> None:
        loopback.post(f"{self.server.url}/sandbox/instances/{name_of(token)}/{fate}").raise_for_status()

    def calls(self, *methods: str) -> list[dict[str, Any]]:
        calls = loopback.get(f"{self.server.url}/sandbox/calls").json()["calls"]
        return [call for call in calls if not methods or call["method"] in methods]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
