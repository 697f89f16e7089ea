"""A job for the real worker that tells what its process has imported before it, and what a call to a cloud adds."""

import os
import sys

from tests.builders.machines import SECRETS, boot, request
from workers.clouds.driver import Driver
from workers.placement import catalog
from workers.run import drivers_of
from workers.settings import from_environ

ROOTS = ("boto3", "botocore", "google", "grpc", "requests")


def imported() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] in ROOTS}


def launch_on(cloud: str) -> dict[str, list[str]]:
    """Make, list and end a machine. Returns the SDKs' modules before it, and those that it added."""
    before = imported()
    driver: Driver = drivers_of(from_environ(os.environ))[cloud]
    offer = next(o for o in catalog.load() if o.cloud == cloud and o.zone and o.usd_per_hour and not o.spot)
    made = driver.create(request(f"d-{cloud}-1", (offer,), boot=boot(kind="vllm")), SECRETS)
    driver.owned("i-test")
    driver.terminate(made.token)
    return {"before": sorted(before), "added": sorted(imported() - before)}
