"""A machine that the product rents: the real driver, a stand-in cloud, and behind it a real guest."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from recipes.loader import find, load
from tests.boot.guest import Guests
from tests.boot.metadata import Metadata, Tree
from tests.builders.machines import INSTALLATION, SECRETS, request
from tests.fakes.aws import AwsCloud
from tests.fakes.gcp import GcpCloud
from tests.patience import PATIENCE
from workers.clouds.driver import Driver
from workers.machines import Machine, Presence, Sighting, Token
from workers.placement import catalog
from workers.sandbox.ec2 import lives
from workers.sandbox.gce import ageing
from workers.serving.boot import boot_of
from workers.serving.console import Said, mark_of, read
from workers.serving.probe import completion, key_is_enforced, probe

TYPES = {"aws": "g6.xlarge", "gcp": "g2-standard-4"}
"""Machines with one L4, which the guest's `nvidia-smi` reports."""
RECIPE = "mistral-7b"
TOKEN = Token("t-1")
KEY = SECRETS["VLLM_API_KEY"]
LOOK_EVERY = 0.5  # seconds


class Rented:
    """One machine from its request to its end, and what happened when, in seconds from its request."""

    def __init__(self, cloud: AwsCloud | GcpCloud, guests: Guests) -> None:
        self.guests = guests
        self.driver: Driver = cloud.driver
        self.recipe = load(find(RECIPE), {})
        self.story: list[str] = []
        self.machine: Machine
        self._began = time.monotonic()

    def rent(self, expires_in: timedelta, **boot: Any) -> None:
        """Have the driver make the machine. It boots from now on. `boot` are fields of Boot."""
        sold = [o for o in catalog.load() if o.cloud == self.driver.cloud and o.instance_type == TYPES[o.cloud]]
        offer = next(o for o in sold if o.usd_per_hour and o.zone and not o.spot)
        expires_at = datetime.now(UTC) + expires_in
        asked = request(TOKEN, [offer], boot=replace(boot_of(self.recipe, RECIPE), **boot), expires_at=expires_at)
        self._began = time.monotonic()
        self.machine = self.driver.create(asked, SECRETS)
        self.at("requested")

    def extend(self, expires_in: timedelta) -> None:
        self.driver.extend(TOKEN, datetime.now(UTC) + expires_in)

    def at(self, what: str) -> None:
        """Note that something has happened: the time, and the time of the processor that QEMU has used."""
        self.story.append(f"{time.monotonic() - self._began:5.0f} s  {self.guests.cpu_seconds():5.0f} s  {what}")

    def until(self, holds: Callable[[], Any], what: str, within: float) -> Any:
        """Wait at most `within` seconds, if the computer is idle, and note `what`; the value of `holds`."""
        deadline = time.monotonic() + within * PATIENCE
        while not (found := holds()):
            assert time.monotonic() < deadline, f"it did not happen in time: {what}\n{self._newest}"
            assert self.guests.running() or "ended" in what, f"the machine ended before: {what}\n{self._newest}"
            time.sleep(LOOK_EVERY)
        self.at(what)
        return found

    @property
    def console(self) -> str:
        """What the driver reads of the machine's console."""
        return self.driver.log(TOKEN, 10_000)

    @property
    def said(self) -> Said:
        return read(self.console, mark_of(TOKEN, KEY))

    def prints(self, text: str, times: int = 1) -> bool:
        return self.console.count(text) >= times

    @property
    def ready(self) -> bool:
        return asyncio.run(probe(self._url, self.recipe.service.readiness_probe, key=KEY)) is None

    def answers(self) -> str:
        """A completion through the machine's port, by its key alone."""
        assert asyncio.run(key_is_enforced(self._url))
        return completion(self._url, KEY, model=self.recipe_model, prompt="My favourite condiment is").text

    @property
    def recipe_model(self) -> str:
        assert self.recipe.engine is not None
        return self.recipe.engine.model

    def shuts_down_at(self) -> datetime | None:
        """When the guest's systemd is going to power it off; None if it is not."""
        told = self.guests.run("cat /run/systemd/shutdown/scheduled")
        words = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        return datetime.fromtimestamp(int(words["USEC"]) / 1e6, UTC) if words.get("MODE") == "poweroff" else None

    def seen(self) -> Sighting:
        """The machine in the cloud's list."""
        return next(s for s in self.driver.owned(INSTALLATION) if s.machine.token == TOKEN)

    @property
    def ended(self) -> bool:
        return not self.guests.running() and self.seen().presence is Presence.ENDED

    @property
    def _newest(self) -> str:
        return self.guests.console("")[-6000:]

    @property
    def _url(self) -> str:
        assert self.machine.address
        return self.machine.address


@contextmanager
def rented(name: str, disks: Path, folder: Path, **guest: Any) -> Iterator[tuple[Rented, Metadata]]:
    """A cloud that rents guests; `guest` are arguments of Guests."""
    guests = Guests(name, disks, folder, **guest)
    # The stand-ins end their machines at the expiry. These end themselves.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lives, "_expired", lambda _instance, _now: False)
        patch.setattr(ageing, "metadata", lambda _instance: {})
        cloud = AwsCloud(machines=guests) if name == "aws" else GcpCloud(machines=guests)
        metadata = Metadata(lambda: _ec2(cloud, guests) if isinstance(cloud, AwsCloud) else _gce(cloud))
        try:
            yield Rented(cloud, guests), metadata
        finally:
            guests.close()
            metadata.close()
            cloud.close()


def _ec2(cloud: AwsCloud, guests: Guests) -> Tree:
    with cloud.server.cloud.lock:
        life = cloud.server.cloud.lives._lives[guests.id]
        tags = {tag["key"]: tag["value"] for tag in life.instance.get_tags()}
    return {
        "meta-data": {
            "instance-id": guests.id,
            "instance-type": life.pool.type_,
            "local-hostname": "machine",
            "placement": {"availability-zone": life.pool.name, "region": life.pool.region},
            "tags": {"instance": tags},
        },
        "user-data": guests.user_data,
        "dynamic": {"instance-identity": {"document": json.dumps({"region": life.pool.region})}},
    }


def _gce(cloud: GcpCloud) -> Tree:
    with cloud.server.cloud.changed:
        instance = next(iter(cloud.server.cloud.instances.values()))
        items = {item["key"]: item["value"] for item in instance["metadata"]["items"]}
    zone = instance["zone"].rpartition("/")[2]
    project = {"project-id": "a-project", "numeric-project-id": "1", "attributes": {}}
    own = {
        "id": instance["id"],
        "name": instance["name"],
        "hostname": "machine.c.a-project.internal",
        "zone": f"projects/1/zones/{zone}",
        "machine-type": f"projects/1/machineTypes/{TYPES['gcp']}",
        "attributes": items,
    }
    return {"project": project, "instance": own}
