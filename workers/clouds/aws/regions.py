"""What a launch needs in its region: quotas that suffice, an image, and the network."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from msgspec import Struct

from workers.clouds.aws import fleet as aws_fleet
from workers.clouds.aws.client import ENABLED_ALWAYS, AwsClient
from workers.clouds.aws.network import Group, Network, Places
from workers.clouds.aws.quota import VcpuQuotas
from workers.machines import MachineRequest
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal

IMAGE_CACHED_FOR = timedelta(hours=1)
SLOW = 1.5
"""Seconds that one read takes on a slow AWS, on which all regions are prepared before the first refusal."""


class RegionResources(Struct, frozen=True, kw_only=True):
    """The prepared resources of a launch in a region."""

    places: Places
    group: Group
    image: aws_fleet.Ami


class Prepared(Struct, frozen=True, kw_only=True):
    """What the preparation of a request has found."""

    offers: tuple[Offer, ...] = ()
    """Those for which the quotas suffice."""
    too_small: tuple[Refusal, ...] = ()
    """The refusals of the others."""
    resources: RegionResources | None = None
    """None if no quota suffices."""


class Regions:
    """Prepares launches. Safe to use from several threads, which share what each region has."""

    def __init__(self, api: AwsClient) -> None:
        self.network = Network(api)
        self._api = api
        self._quotas = VcpuQuotas(self._read_quota)
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        """By region: replicas that are requested at once are prepared once."""
        self._images: dict[tuple[str, str], tuple[float, aws_fleet.Ami]] = {}

    def prepare(
        self, request: MachineRequest, sources: tuple[str, ...], *, if_slow: Callable[[], None] = lambda: None
    ) -> Prepared:
        """Read all at once, and make what is missing. `sources`: the networks that may reach the machine.

        `if_slow` is called if one read takes longer than SLOW. Raises AwsError, DriverError.
        """
        region = request.offers[0].region
        if region not in ENABLED_ALWAYS:
            self._api.check_region(region)  # calls in it might fail as if the credentials were wrong
        with self._locks[region], _threads(4) as threads:
            began = time.monotonic()
            checked = threads.submit(self._api.check_region, region)
            sorted_ = threads.submit(self._quotas.sort, request.offers)
            image = threads.submit(self._image, region, aws_fleet.own_image(request))
            group = threads.submit(self._group, request, sources, sorted_)
            checked.result()
            fitting, too_small = sorted_.result()
            if time.monotonic() - began > SLOW:
                if_slow()
            if not fitting:
                return Prepared(too_small=too_small)
            found = group.result()
            assert found is not None  # noqa: S101 - there are offers that fit
            resources = RegionResources(group=found, places=self.network.places(region), image=image.result())
        return Prepared(offers=fitting, too_small=too_small, resources=resources)

    def _group(
        self, request: MachineRequest, sources: tuple[str, ...], fitting: Future[tuple[tuple[Offer, ...], Any]]
    ) -> Group | None:
        """The security group. It is not made where no quota suffices."""
        where = request.offers[0].region, request.installation, request.boot.port
        if known := self.network.known_group(*where, sources):
            return known
        found = self.network.look(*where)
        return self.network.group(*where, sources, found) if fitting.result()[0] else None

    def _image(self, region: str, own: str | None) -> aws_fleet.Ami:
        """The recipe's `own` image, or the default one."""
        at, known = self._images.get((region, own or ""), (float("-inf"), None))
        if known is not None and time.monotonic() - at < IMAGE_CACHED_FOR.total_seconds():
            return known
        id_ = own or self._api.call("ssm", region, "get_parameter", Name=aws_fleet.IMAGE)["Parameter"]["Value"]
        known = aws_fleet.image_of(id_, self._api.call("ec2", region, "describe_images", ImageIds=[id_]))
        self._images[region, own or ""] = (time.monotonic(), known)
        return known

    def _read_quota(self, region: str, code: str) -> float:
        answer = self._api.call("service-quotas", region, "get_service_quota", ServiceCode="ec2", QuotaCode=code)
        return float(answer["Quota"]["Value"])


@contextmanager
def _threads(most: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose calls are left alone at the end: after an answer that decides, nothing waits for the others."""
    threads = ThreadPoolExecutor(most, thread_name_prefix="region")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
