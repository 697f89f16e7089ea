"""Requests the machine of an intent from its cloud, and says what came of it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from msgspec.structs import replace

from workers.clouds.driver import Driver, DriverError, PreparesLaunches, Refused, not_allowed
from workers.deployment.attempt import Attempt
from workers.deployment.confidential import Confidential
from workers.deployment.events import MachineCreated, OfferRefused
from workers.deployment.log import Log, Stamp
from workers.deployment.state import Deployment
from workers.machines import DISK_GIB, Machine, MachineRequest
from workers.placement.offer import Offer
from workers.placement.refusals import Refusal, Scope
from workers.serving.boot import KEY_VARIABLE


class Creating:
    """Makes the calls. Safe to use from several threads: it appends nothing."""

    def __init__(
        self, log: Log, drivers: Mapping[str, Driver], confidential: Confidential, stamp: Callable[[], Stamp]
    ) -> None:
        self._log = log
        self._drivers = drivers
        self._confidential = confidential
        self._stamp = stamp

    def __call__(self, state: Deployment, attempt: Attempt, *, replay: bool) -> MachineCreated | OfferRefused:
        """The cloud's answer. `replay`: the machine may exist already. Raises DriverError if the answer is unknown."""
        request = attempt.request
        try:
            driver = driver_of(self._drivers, attempt)
            found = driver.find(request.token, attempt.whereabouts) if replay else None
            machine = found or driver.create(request, self._secrets(state))
        except Refused as refused:
            refusals = refused.refusals or (
                Refusal(
                    offers=request.offers,
                    sentence=str(refused).rstrip("."),
                    code=refused.code,
                    scope=refused.scope,
                    lasts=timedelta(minutes=5),
                ),
            )
            return self._refused(state, attempt, refusals)
        return made(self._stamp(), attempt, machine)

    def finish(self) -> None:
        """Wait for what the drivers have left to threads."""
        for driver in self._drivers.values():
            if isinstance(driver, PreparesLaunches):
                driver.finish()

    def _refused(self, state: Deployment, attempt: Attempt, refusals: tuple[Refusal, ...]) -> OfferRefused:
        """The refusal, with those of the places that turn out to be without hope for the next rungs."""
        driver, beside = driver_of(self._drivers, attempt), tuple[Refusal, ...]()
        if isinstance(driver, PreparesLaunches) and all(r.scope is not Scope.BACK_OFF for r in refusals):
            usable = (rung.offer for rung in state.rungs if rung.usable and rung.offer.cloud == driver.cloud)
            beside = driver.prepare(attempt.request, [o for o in usable if o.region != attempt.offer.region])
        mask = partial(self._confidential.masked, state)
        said = [replace(r, sentence=mask(r.sentence), code=mask(r.code)) for r in (*refusals, *beside)]
        return OfferRefused(**self._stamp(), attempt=attempt.number, refusals=tuple(said), beside=len(beside))

    def _secrets(self, state: Deployment) -> dict[str, str]:
        key = self._log.secrets(state.id).replica
        if not key:
            raise DriverError(
                f"The key of {state.name} is missing from Redis. Run `/mixtral down {state.name}`, and launch it again."
            )
        if lacking := self._confidential.lacking(state):
            names = " and ".join(lacking)
            raise DriverError(f"The worker's environment no longer has {names}. Set it, and restart the worker.")
        return self._confidential.secrets(state) | {KEY_VARIABLE: key}


def driver_of(drivers: Mapping[str, Driver], attempt: Attempt) -> Driver:
    """The driver of the attempt's cloud. Raises DriverError if this worker may not use it."""
    cloud = attempt.offer.cloud
    if cloud not in drivers:
        raise DriverError(not_allowed(cloud))
    return drivers[cloud]


def made(stamp: Stamp, attempt: Attempt, machine: Machine) -> MachineCreated:
    """The fact that the machine of an attempt exists."""
    disk, taken = _disk_gib(attempt.request, machine), _as_requested(machine, attempt.request)
    return MachineCreated(**stamp, attempt=attempt.number, machine=taken, disk_gib=disk)


def _as_requested(found: Machine, request: MachineRequest) -> Machine:
    """A machine that was found, with the offer that was requested: its cloud may not tell the price any more."""
    there = found.offer
    taken = (offer for offer in request.offers if _place(offer) == _place(there))
    return replace(found, offer=next(taken, there))


def _disk_gib(request: MachineRequest, machine: Machine) -> int | None:
    return (request.boot.disk_gib or DISK_GIB) if machine.cloud != "local" else None


def _place(offer: Offer) -> tuple[str, str, str, str, bool]:
    return offer.cloud, offer.region, offer.zone, offer.instance_type, offer.spot
