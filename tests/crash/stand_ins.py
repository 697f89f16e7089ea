"""Both stand-in clouds in a process of their own, `python -m tests.crash.stand_ins FOLDER`, and their state."""

import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import httpx

PROJECT = "a-project"
REGIONS = ("us-east-1", "us-west-2")
"""Regions that the account has enabled. Each list makes a call per region, so there are few."""

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAOFATEST", "AWS_SECRET_ACCESS_KEY": "of-a-test"}


class StandIns:
    """Access from outside: sets faults, and returns what really runs without the product's code."""

    redis_url: str
    """The Redis of those who use these stand-ins."""

    def __init__(self, folder):
        self._booted = folder / "booted"
        self._booted.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.stand_ins", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        first = self._process.stdout.readline()
        if not first:  # it has ended
            self._process.communicate()
            raise AssertionError(f"the stand-ins ended with status {self._process.returncode}")
        self.urls = json.loads(first)
        self.environ = {
            "AWS_ENDPOINT_URL": self.urls["aws"],
            "AWS_REGION": REGIONS[0],
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "MIXTRAL_GCE_ENDPOINT": self.urls["gcp"],
            "MIXTRAL_ALLOW_CIDRS": "203.0.113.0/24",
            "HOME": "/nonexistent",
            **KEYS,
        }
        keys = {"aws_access_key_id": "AKIAOFATEST", "aws_secret_access_key": "of-a-test"}
        self._ec2 = [boto3.client("ec2", r, endpoint_url=self.urls["aws"], **keys) for r in REGIONS]
        self._http = httpx.Client(trust_env=False)

    def fault(self, cloud, code, call, **about):
        body = {"code": code, "action" if cloud == "aws" else "method": call, **about}
        self._http.post(f"{self.urls[cloud]}/sandbox/faults", json=body).raise_for_status()

    def mend(self):
        for url in self.urls.values():
            self._http.delete(f"{url}/sandbox/faults").raise_for_status()
            self._http.delete(f"{url}/sandbox/calls").raise_for_status()

    def called(self, cloud, calls):
        """Number of these calls since `mend`."""
        seen = self._http.get(f"{self.urls[cloud]}/sandbox/calls").json()["calls"]
        return sum(call["action" if cloud == "aws" else "method"] in calls for call in seen)

    def running(self, cloud, installation):
        """(token, replica, cloud's id) of every machine that is billed."""
        if cloud == "aws":
            found = [
                (tags, id_) for tags, id_, state in self._instances(installation) if state in ("pending", "running")
            ]
        else:
            found = [(tags, id_) for tags, id_, state in self._listed(installation) if state != "STOPPING"]
        return sorted((tags["mixtral-token"], int(tags["mixtral-replica"]), id_) for tags, id_ in found)

    def made(self, cloud, installation, deployment):
        """Number of machines ever made per token. GCE's are counted at boot, by the instance's name."""
        if cloud == "aws":
            return Counter(tags["mixtral-token"] for tags, _, _ in self._instances(installation))
        return Counter(name for name in self._booted.read_text().split() if deployment in name)

    def left(self, cloud, installation):
        """Names of launch templates, which contain secrets."""
        if cloud != "aws":
            return []
        asked = {"Filters": [{"Name": "tag:mixtral-installation", "Values": [installation]}]}
        answers = [client.describe_launch_templates(**asked) for client in self._ec2]
        return [one["LaunchTemplateName"] for answer in answers for one in answer["LaunchTemplates"]]

    def doors(self, cloud, installation):
        """Security groups or firewall rules of an installation."""
        if cloud == "aws":
            asked = {"Filters": [{"Name": "tag:mixtral-installation", "Values": [installation]}]}
            answers = [client.describe_security_groups(**asked) for client in self._ec2]
            return [one["GroupName"] for answer in answers for one in answer["SecurityGroups"]]
        rules = self._http.get(f"{self._project}/global/firewalls").json().get("items", [])
        return [rule["name"] for rule in rules if installation in json.dumps(rule)]

    def close(self):
        self._http.close()
        for client in self._ec2:
            client.close()
        self._process.communicate()

    @property
    def _project(self):
        return f"{self.urls['gcp']}/compute/v1/projects/{PROJECT}"

    def _instances(self, installation):
        asked = {"Filters": [{"Name": "tag:mixtral-installation", "Values": [installation]}]}
        for client in self._ec2:
            for page in client.get_paginator("describe_instances").paginate(**asked):
                for one in [i for reservation in page["Reservations"] for i in reservation["Instances"]]:
                    tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
                    yield tags, one["InstanceId"], one["State"]["Name"]

    def _listed(self, installation):
        scopes = self._http.get(f"{self._project}/aggregated/instances").json()["items"].values()
        for one in [instance for scope in scopes for instance in scope.get("instances", [])]:
            told = {item["key"]: item["value"] for item in one["metadata"]["items"]} | one["labels"]
            if told["mixtral-installation"] == installation:
                yield told, one["name"], one["status"]


def main(folder):
    """Serve until standard input ends, which it does however the parent ends."""
    from moto.ec2.models.availability_zones_and_regions import (  # noqa: PLC0415 - takes a second; the parent does not need it
        RegionsAndZonesBackend,
    )

    from tests.fakes.machines import FakeMachines  # noqa: PLC0415 - as moto above
    from workers.sandbox.ec2 import server as ec2  # noqa: PLC0415 - as moto above
    from workers.sandbox.gce import server as gce  # noqa: PLC0415 - as moto above

    class Machines(FakeMachines):
        def boot(self, machine, user_data):
            address = super().boot(machine, user_data)
            with self._lock, (folder / "booted").open("a") as told:
                told.write(machine.rpartition("-")[0] + "\n")
            return address

    every = RegionsAndZonesBackend.regions
    RegionsAndZonesBackend.regions = [region for region in every if region.name in REGIONS]
    servers: dict[str, Any] = {"aws": ec2.Server(0, Machines()), "gcp": gce.Server(0, Machines())}
    servers["gcp"].cloud._allocates_in = 0.01
    for server in servers.values():
        server.handle_error = lambda *_: None  # clients that are killed reset their connections
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(json.dumps({cloud: server.url for cloud, server in servers.items()}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
