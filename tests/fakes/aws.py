"""The real AWS driver on the EC2 stand-in. Its machines are addresses without an engine."""

import threading
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests import loopback
from tests.fakes.machines import FakeMachines
from workers.clouds.aws.driver import AwsDriver
from workers.machines import Token
from workers.placement import catalog
from workers.placement.offer import Offer
from workers.sandbox.ec2.faults import LAUNCHES
from workers.sandbox.ec2.server import Server
from workers.sandbox.stand_in import Machines

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAOFATEST", "AWS_SECRET_ACCESS_KEY": "of-a-test"}


class AwsCloud:
    """A stand-in in this process, on a free port."""

    def __init__(self, _folder: Path | None = None, *, machines: Machines | None = None, **environ: str) -> None:
        self.machines = FakeMachines()
        self.server = Server(0, machines or self.machines)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.environ = {
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_REGION": "us-east-1",
            "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
            "HOME": "/nonexistent",
            **KEYS,
            **environ,
        }
        self.driver = AwsDriver(self.environ)

    def offers(self, *, spot: bool = False) -> tuple[Offer, ...]:
        return tuple(o for o in catalog.load() if o.cloud == "aws" and o.zone and o.usd_per_hour and o.spot == spot)

    def again(self) -> AwsDriver:
        """A driver as another process would create it."""
        return AwsDriver(self.environ)

    def client(self, service: str = "ec2", region: str = "us-east-1", retries: dict[str, Any] | None = None) -> Any:
        """The boto3 client, without the driver."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.server.url,
            aws_access_key_id="AKIAOFATEST",
            aws_secret_access_key="of-a-test",
            config=Config(retries=retries),
        )

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def break_machine(self, token: Token) -> None:
        self.machines.kill(self._id(token))

    def printed(self, token: Token) -> None:
        self.machines.consoles[self._id(token)] += [f"line {n}" for n in range(30)]

    def _id(self, token: Token) -> str:
        machine = self.driver.find(token)
        assert machine is not None
        return machine.id

    def fault(self, code: str, **about: Any) -> None:
        loopback.post(f"{self.server.url}/sandbox/faults", json={"code": code, **about}).raise_for_status()

    def mend(self) -> None:
        loopback.delete(f"{self.server.url}/sandbox/faults").raise_for_status()

    def quota(self, code: str, limit: float, region: str = "*") -> None:
        body = {"code": code, "limit": limit, "region": region}
        loopback.post(f"{self.server.url}/sandbox/quotas", json=body).raise_for_status()

    def end(self, token: str, fate: str) -> None:
        loopback.post(f"{self.server.url}/sandbox/instances/{token}/{fate}").raise_for_status()

    def calls(self, *actions: str) -> list[dict[str, Any]]:
        calls = loopback.get(f"{self.server.url}/sandbox/calls").json()["calls"]
        return [call for call in calls if not actions or call["action"] in actions]

    def launches(self) -> list[dict[str, Any]]:
        return self.calls(*LAUNCHES)

    def templates(self, region: str) -> list[Any]:
        """The launch templates that exist in a region."""
        found: list[Any] = self.client(region=region).describe_launch_templates()["LaunchTemplates"]
        return found

    def forget_calls(self) -> None:
        loopback.delete(f"{self.server.url}/sandbox/calls").raise_for_status()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
