"""The groundwork of launches, done in several regions at once while a ladder is climbed."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeAlias

from msgspec.structs import replace

from workers.clouds.aws.client import MAX_THREADS
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, Scope

logger = logging.getLogger(__name__)

PREPARED_WITHIN = 5.0
"""Maximum time, in seconds, that a refusal waits for the other regions: those without hope are told with it."""

Prepare: TypeAlias = Callable[[tuple[Offer, ...]], tuple[Refusal, ...]]
"""Does the groundwork for offers of one region, and returns its refusals."""


class Groundwork:
    """Does the groundwork of each region once. Safe to use from several threads."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="groundwork")
        self._regions: dict[str, Future[tuple[Refusal, ...]]] = {}
        self._told: set[str] = set()

    @property
    def has_begun(self) -> bool:
        return bool(self._regions)

    def begin(self, offers: Iterable[Offer]) -> None:
        """Start it in each region where it has not been started."""
        by_region: dict[str, list[Offer]] = {}
        for offer in offers:
            by_region.setdefault(offer.region, []).append(offer)
        with self._lock:
            for region, those in by_region.items():
                if region not in self._regions:
                    self._regions[region] = self._threads.submit(self._prepare, tuple(those))

    def hopeless(self, offers: Iterable[Offer]) -> tuple[Refusal, ...]:
        """Start it where it has not been started. Returns, once for each region, why no launch can succeed there."""
        offers = tuple(offers)
        self.begin(offers)
        with self._lock:
            regions = dict.fromkeys(offer.region for offer in offers)
            untold = {region: self._regions[region] for region in regions if region not in self._told}
        wait(untold.values(), timeout=PREPARED_WITHIN)
        done = {region: future for region, future in untold.items() if future.done()}
        with self._lock:
            done = {region: future for region, future in done.items() if region not in self._told}
            self._told |= set(done)
        return tuple(hopeless for region, future in done.items() for hopeless in _result(region, future))

    def wait_for(self, region: str) -> None:
        """Wait for the groundwork of a region, if it was started: a launch there makes no call twice."""
        with self._lock:
            future = self._regions.get(region)
        if future is not None:
            wait((future,))


def _result(region: str, future: Future[tuple[Refusal, ...]]) -> tuple[Refusal, ...]:
    """What is known of a region; nothing if it failed unexpectedly: only a launch there shows more."""
    if (error := future.exception()) is not None:
        logger.warning("the groundwork in %s failed: %r", region, error)
        return ()
    return future.result()


def hopeless(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """Pure. The refusals that rule out a family in a region, or more; with one offer of each family, for brevity."""
    wide = (refusal for refusal in refusals if refusal.scope in (Scope.REGION, Scope.CLOUD))
    return tuple(replace(refusal, offers=_one_of_each(refusal.offers)) for refusal in wide)


def _one_of_each(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    return tuple({(offer.region, offer.instance_type[:1], offer.spot): offer for offer in offers}.values())
