"""Observes machines: one list per cloud, in threads that a later sweep collects."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from workers.clouds.driver import Driver
from workers.control.collector import Collector
from workers.control.machine_ends import MachineEnds
from workers.control.reaping import Reaper
from workers.control.recording import Recorder, each
from workers.decision.verdict import Gone, verdict_on_machine
from workers.deployment.attempt import MAY_COST, Attempt, Phase
from workers.deployment.events import EngineProgressed, MachineAddressed
from workers.deployment.state import Deployment
from workers.machines import Presence, Sighting, Token

LIST_LOCAL_EVERY = timedelta()
LIST_BUSY_EVERY = timedelta(seconds=5)
"""Interval for a cloud with machines of a deployment. A preemption must be noticed within 15 s."""

LIST_IDLE_EVERY = timedelta(minutes=5)
"""Interval for a cloud without them. A machine that is found there is ended or logged."""

MISSED_IS_GONE = 2
"""Number of consecutive lists without a machine after which the machine counts as gone."""

SHOWN_WITHIN = timedelta(seconds=20)
"""Maximum time from the creation of a machine to its first appearance in a list, for clouds and `local`."""


class Listing(Struct, frozen=True, kw_only=True):
    """A cloud's machines of this installation."""

    begun: datetime
    sightings: dict[Token, Sighting]


class Observer:
    """Lists each cloud at its own interval, appends what changed, and passes running machines to the reaper."""

    def __init__(self, recorder: Recorder, drivers: Mapping[str, Driver], installation: str, reaper: Reaper) -> None:
        self._recorder = recorder
        self._drivers = drivers
        self._installation = installation
        self._reaper = reaper
        self._ends = MachineEnds(recorder, drivers)
        self._missed: dict[Token, int] = {}
        """Number of consecutive lists without the machine. If it is lost, counting starts again."""
        self._lists = Collector[str, Listing | None]("list", max(1, len(drivers)))
        self._listed_at: dict[str, datetime] = {}

    def hurry(self) -> None:
        """List every cloud in the next sweep, whatever its interval."""
        self._listed_at.clear()

    def ask(self, attempts: Sequence[tuple[Deployment, Attempt]]) -> None:
        """Start to list each cloud that is due. `attempts`: those whose machine may cost."""
        known = {attempt.request.token for _, attempt in attempts}
        self._missed = {token: missed for token, missed in self._missed.items() if token in known}
        busy = {attempt.offer.cloud for _, attempt in attempts}
        now = self._recorder.now()
        for cloud, driver in self._drivers.items():
            every = LIST_LOCAL_EVERY if cloud == "local" else LIST_BUSY_EVERY if cloud in busy else LIST_IDLE_EVERY
            last = self._listed_at.get(cloud)
            if (last is None or now - last >= every) and self._lists.ask(cloud, self._list, driver, now):
                self._listed_at[cloud] = now

    def collect(self, until: float) -> None:
        """Process the lists that have arrived by `until` (monotonic seconds)."""
        for cloud, listing in self._lists.collect(until):
            if listing is not None:
                self._observe(cloud, listing)
        self._ends.collect()
        self._reaper.collect()

    def _list(self, driver: Driver, now: datetime) -> "Listing | None":
        """None if the cloud cannot be used: an empty list would mean that every machine is gone."""
        if not driver.status().usable:
            return None
        return Listing(begun=now, sightings={s.machine.token: s for s in driver.owned(self._installation)})

    def _observe(self, cloud: str, listing: Listing) -> None:
        attempts = [(s, a) for s, a in self._recorder.attempts(MAY_COST) if a.offer.cloud == cloud]
        each(self._observe_machine, attempts, [(a.request.token, listing) for _, a in attempts])
        for sighting in listing.sightings.values():
            if sighting.presence is Presence.RUNNING:
                self._reaper.look(self._drivers[cloud], sighting)

    def _observe_machine(self, state: Deployment, attempt: Attempt, listing: Listing) -> None:
        token = attempt.request.token
        sighting = listing.sightings.get(token)
        if sighting is None:
            # A list may be older than the machine, or delayed: only those begun SHOWN_WITHIN after its creation count.
            created = attempt.machine.created_at if attempt.machine else attempt.since  # each phase changes `since`
            self._missed[token] = self._missed.get(token, 0) + (created + SHOWN_WITHIN <= listing.begun)
            if self._missed[token] < MISSED_IS_GONE or not self._recorder.sees_all(attempt):
                return
        else:
            self._missed.pop(token, None)
            self._record_what_is_new(state, attempt, sighting)
        verdict = verdict_on_machine(attempt, sighting)
        if isinstance(verdict, Gone):
            self._ends.ask(state, attempt, verdict, listed=sighting is not None)

    def _record_what_is_new(self, state: Deployment, attempt: Attempt, sighting: Sighting) -> None:
        if sighting.presence is not Presence.RUNNING:
            return
        recorder = self._recorder
        address = sighting.machine.address
        if address and attempt.machine and attempt.machine.address != address:
            recorder.append(state, MachineAddressed(**recorder.stamp(), attempt=attempt.number, address=address))
        if attempt.phase is not Phase.STARTING:
            return
        progress = recorder.masked(state, sighting.progress)
        if progress not in ("", attempt.progress):
            recorder.append(state, EngineProgressed(**recorder.stamp(), attempt=attempt.number, progress=progress))
