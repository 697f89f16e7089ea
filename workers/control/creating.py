"""Requests the machine of an intent from its cloud, and says what came of it."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from msgspec.structs import replace

from workers.clouds.driver import Ahead, Driver, DriverError, PreparesLaunches, Refused, not_allowed
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

    def __call__(
        self, state: Deployment, attempt: Attempt, *, replay: bool, following: MachineRequest | None = None
    ) -> MachineCreated | OfferRefused:
        """The cloud's answer. Raises DriverError if the answer is unknown.

        `replay`: the machine may exist already. `following`: the next request if this one is refused.
        """
        request = attempt.request
        try:
            driver = driver_of(self._drivers, attempt)
            found = driver.find(request.token, attempt.whereabouts) if replay else None
            machine = found or self._created(driver, state, attempt, following)
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

    def prepares(self, attempt: Attempt) -> bool:
        """Whether the attempt's driver prepares the next request while this one is made."""
        return isinstance(self._drivers.get(attempt.offer.cloud), PreparesLaunches)

    def finish(self) -> None:
        """Let the drivers remove what they prepared and did not use, and wait for their threads."""
        for driver in self._drivers.values():
            if isinstance(driver, PreparesLaunches):
                driver.finish()

    def _created(
        self, driver: Driver, state: Deployment, attempt: Attempt, following: MachineRequest | None
    ) -> Machine:
        secrets = self._secrets(state)
        if isinstance(driver, PreparesLaunches):
            same = following if following and following.offers[0].cloud == driver.cloud else None
            driver.expect(attempt.request, Ahead(ladder=_elsewhere(state, attempt), request=same, secrets=secrets))
        return driver.create(attempt.request, secrets)

    def _refused(self, state: Deployment, attempt: Attempt, refusals: tuple[Refusal, ...]) -> OfferRefused:
        """The refusal, with those of the other places in which no launch can succeed."""
        driver, beside = driver_of(self._drivers, attempt), tuple[Refusal, ...]()
        if isinstance(driver, PreparesLaunches) and all(r.scope is not Scope.BACK_OFF for r in refusals):
            beside = driver.hopeless(attempt.request, _elsewhere(state, attempt))
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


def _elsewhere(state: Deployment, attempt: Attempt) -> tuple[Offer, ...]:
    """The usable offers of the attempt's cloud in other regions."""
    usable = (rung.offer for rung in state.rungs if rung.usable and rung.offer.cloud == attempt.offer.cloud)
    return tuple(offer for offer in usable if offer.region != attempt.offer.region)


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
